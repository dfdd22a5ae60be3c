// PID 1 of the utility VM: init [-e PORT] [-w] [-d SHELL] [--] COMMAND ARGUMENTS...
//   -e PORT   take entropy from that vsock port of the host
//   -w        writable overlays over /etc and /var, for a read-only root
//   -d SHELL  run SHELL as well, on the console; the VM ends when it does
// Prepares the system, runs the command, reaps, and powers the VM off when the command has ended. The kernel
// passes what follows "--" on its command line.
#include "init.h"
#include "vsock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct options {
    unsigned entropy_port;
    bool writable;
    char *shell;
    char **command;
};

static const char usage[] = "init: usage: init [-e PORT] [-w] [-d SHELL] [--] COMMAND ARGUMENTS...";

static _Noreturn void refuse(void) {
    say_on_console("%s", usage);
    shut_down();
}

static struct options parse(int argc, char **argv) {
    static char *default_command[] = {"/bin/gcs", "-loglevel", "debug", "-logfile=/run/gcs/gcs.log", NULL};
    struct options options = {.command = default_command};
    if (argc <= 1) {
        options.shell = "/bin/sh";
        return options;
    }
    for (int option; (option = getopt(argc, argv, "+d:e:w")) >= 0;) {
        switch (option) {
            case 'd':
                options.shell = optarg;
                break;
            case 'e':
                if (!parse_port(optarg, &options.entropy_port) || options.entropy_port == 0) refuse();
                break;
            case 'w':
                options.writable = true;
                break;
            default:
                refuse();
        }
    }
    if (optind >= argc) refuse();
    options.command = argv + optind;
    return options;
}

static void say_end(int status) {
    if (status == FORWARDER_ENDED) {
        say_on_console("init: without the forwarder no host reaches this machine; it ends");
    } else if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        say_on_console(
            "init: command exited with status %d: killed by signal %d (%s); this machine ends, and its "
            "containers with it",
            exit_status(status), number, strsignal(number));
    } else {
        say_on_console("init: command exited with status %d", exit_status(status));
    }
}

int main(int argc, char **argv) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);

    mount_kernel_filesystems();
    open_console();
    load_modules("/etc/modules.list", MODULES_AT_BOOT);
    switch_root(argv);
    if (!prepare_shut_down()) fatal("prepare for the shutdown");
    mount_temporary_filesystems();

    struct options options = parse(argc, argv);
    raise_limits();
    if (options.writable) mount_writable_overlays();
    mount_cgroups();
    bring_loopback_up();
    pid_t forwarder = start_forwarder();
    if (options.entropy_port != 0) seed_entropy(options.entropy_port);

    harden_kernel();
    lock_modules();

    pid_t command = launch(options.command);
    if (command > 0 && options.shell) command = launch((char *[]){options.shell, NULL});
    if (command < 0) fatal("fork");
    say_end(reap_until_exit(command, forwarder));
    shut_down();
}
