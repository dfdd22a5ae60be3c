// The relay between a program and the host's ports.
#pragma once

// Runs the program with its stdio relayed to the ports (0: none) for stdin, stdout, stderr; @returns its exit status.
int run_relay(const unsigned ports[3], char **command);
