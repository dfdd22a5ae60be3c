#include "watch.h"

#include <sys/epoll.h>

bool watch(struct forwarder *self, int fd, uint64_t tag, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}
