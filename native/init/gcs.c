// /bin/gcs: starts the agent. The file below holds one item a line: first NAME=VALUE lines for the
// environment, then the program and its leading arguments; our own arguments follow.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char command_file[] = "/usr/lib/gcs/command";
enum { MOST_ITEMS = 64 };

int main(int argc, char **argv) {
    FILE *file = fopen(command_file, "re");
    if (!file) {
        fprintf(stderr, "gcs: %s: %s\n", command_file, strerror(errno));
        return 127;
    }
    char **command = calloc((size_t)argc + MOST_ITEMS + 1, sizeof *command);
    if (!command) return 127;
    int count = 0;
    char *line = NULL;
    size_t size = 0;
    while (count < MOST_ITEMS && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0') continue;
        if (count == 0 && line[0] != '/' && strchr(line, '=')) putenv(line);
        else command[count++] = line;
        line = NULL;  // it lives on in the environment or the arguments
    }
    fclose(file);
    if (count == 0) {
        fprintf(stderr, "gcs: %s names no program\n", command_file);
        return 127;
    }
    for (int i = 1; i < argc; i++) command[count++] = argv[i];
    execv(command[0], command);
    fprintf(stderr, "gcs: %s: %s\n", command[0], strerror(errno));
    return 127;
}
