#!/bin/sh
# isolated-root.sh PROJECT COMMAND...: runs the command where nothing that a request asks for reaches the machine: in
# namespaces of its own (the caller has made them with unshare), in a root whose writes are lost, without devices and
# without /sys.
set -eu
project=$1
shift
mount --make-rprivate /
base=/tmp
mount -t tmpfs -o mode=0755 fuzz "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" fuzz "$base/root"
root=$base/root
for directory in run tmp sys dev; do
  mkdir -p "$root/$directory"
  mount -t tmpfs -o mode=1777 fuzz "$root/$directory"
done
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/dev/pts" "$root/sys/fs/cgroup"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -o remount,bind,ro "$root/sys/fs/cgroup"
# The sources as they are, wherever they are mounted; what is found is written where it is kept.
mkdir -p "$root$project"
mount --rbind "$project" "$root$project"
mount -o remount,bind,ro "$root$project"
mount --bind "$project/out/fuzz" "$root$project/out/fuzz"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
cd "$project"
exec "$@"
