#ifndef FORWARDER_REPORT_H
#define FORWARDER_REPORT_H

/* Says why on stderr and ends the process, which resets every stream. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
