// take-all NAME COUNT: takes as many of what the kernel counts for a user or the whole machine, prints how many it got,
// and holds them. NAME: files, inotify-instances, inotify-watches, threads.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void *wait_for_ever(void *unused) {
    for (;;) pause();
    return unused;
}

static int take_thread(void) {
    static pthread_attr_t attributes;
    static int ready;
    pthread_t thread;
    if (!ready++) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 16 * 1024);
    }
    errno = pthread_create(&thread, &attributes, wait_for_ever, NULL);
    return errno == 0 ? 0 : -1;
}

static int take_watch(int count) {
    static int instance = -1;
    char path[64];
    if (instance < 0) instance = inotify_init();
    snprintf(path, sizeof path, "/tmp/watched-%d", count);
    if (mkdir(path, 0755) < 0) return -1;
    return inotify_add_watch(instance, path, IN_ALL_EVENTS);
}

static int take(const char *name, int count) {
    if (strcmp(name, "files") == 0) return open("/dev/null", O_RDONLY);
    if (strcmp(name, "inotify-instances") == 0) return inotify_init();
    if (strcmp(name, "inotify-watches") == 0) return take_watch(count);
    if (strcmp(name, "threads") == 0) return take_thread();
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) return 1;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int wanted = atoi(argv[2]), got = 0;
    while (got < wanted && take(argv[1], got) >= 0) got++;
    printf("%s %s\n", argv[1], got == wanted ? "all" : strerrorname_np(errno));
    fflush(stdout);
    for (;;) pause();
}
