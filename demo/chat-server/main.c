// SPDX-License-Identifier: Apache-2.0

// A chat room for Keeps. No line of cryptography: the Keep makes each connection mutually attested TLS and says who
// is at the other end; the room lets in only those that run the chat client.
//
// Arguments: the port to listen on, and the repository ("host/user/repo") whose workloads may come in.

#include "../common/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

// Most guests at a time; one more is told so and sent away.
#define GUESTS_MAX 32

struct guest {
  int fd;
  unsigned number;
  size_t length;
  char line[LINE_MAX_BYTES];
};

static struct guest guests[GUESTS_MAX];
static size_t guest_count;
static unsigned next_number = 1;

static void remove_guest(size_t index) {
  close(guests[index].fd);
  guests[index] = guests[--guest_count];
}

// Sends `text` to every guest, and to the log.
static void say(const char *text) {
  fputs(text, stdout);
  fflush(stdout);
  for (size_t i = guest_count; i-- > 0;) {
    if (!write_all(guests[i].fd, text, strlen(text))) {
      remove_guest(i);
    }
  }
}

static void welcome(int fd, const char *repository) {
  char json[PEER_MAX_BYTES], workload[LINE_MAX_BYTES] = "", digest[80] = "";
  char text[2 * LINE_MAX_BYTES];
  if (!peer_read(fd, json) || !peer_is(json, repository, workload, sizeof workload)) {
    printf("* turned away: not a Keep that runs %s\n", repository);
    fflush(stdout);
    close(fd);
    return;
  }
  if (guest_count == GUESTS_MAX) {
    static const char full[] = "* the room is full\n";
    write_all(fd, full, sizeof full - 1);
    close(fd);
    return;
  }
  peer_member(json, "digest", digest, sizeof digest);
  struct guest *guest = &guests[guest_count++];
  *guest = (struct guest){.fd = fd, .number = next_number++};
  snprintf(text, sizeof text, "* guest %u came in: %s %.23s...\n", guest->number, workload, digest);
  say(text);
}

// Takes what a guest has sent and says each complete line. False if the guest is gone.
static bool listen_to(struct guest *guest) {
  ssize_t count = read(guest->fd, guest->line + guest->length, sizeof guest->line - 1 - guest->length);
  if (count <= 0) {
    return count < 0 && errno == EAGAIN;
  }
  guest->length += (size_t)count;
  for (;;) {
    char *end = memchr(guest->line, '\n', guest->length);
    size_t length = end != NULL ? (size_t)(end - guest->line) : guest->length;
    if (end == NULL && guest->length < sizeof guest->line - 1) {
      return true;
    }
    char text[LINE_MAX_BYTES + 32];
    // What a guest types must not steer the terminals of the others.
    for (size_t i = 0; i < length; i++) {
      if ((unsigned char)guest->line[i] < 0x20 || guest->line[i] == 0x7f) {
        guest->line[i] = ' ';
      }
    }
    snprintf(text, sizeof text, "guest %u: %.*s\n", guest->number, (int)length, guest->line);
    size_t taken = end != NULL ? length + 1 : length;
    guest->length -= taken;
    memmove(guest->line, guest->line + taken, guest->length);
    unsigned number = guest->number;
    say(text);
    // Saying may have removed guests and moved this one.
    if (guest >= guests + guest_count || guest->number != number) {
      return true;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: chat-server PORT REPOSITORY\n", stderr);
    return 2;
  }
  char path[32];
  snprintf(path, sizeof path, "/net/lis/%s", argv[1]);
  int room = open(path, O_RDWR | O_NONBLOCK);
  if (room < 0) {
    fprintf(stderr, "cannot listen at %s: %s\n", path, strerror(errno));
    return 1;
  }
  printf("* the room is open on port %s, for %s\n", argv[1], argv[2]);
  fflush(stdout);
  for (;;) {
    struct pollfd ready[GUESTS_MAX + 1];
    ready[0] = (struct pollfd){.fd = room, .events = POLLIN};
    size_t count = guest_count;
    for (size_t i = 0; i < count; i++) {
      ready[i + 1] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
    }
    if (poll(ready, (nfds_t)(count + 1), -1) < 0) {
      fprintf(stderr, "cannot wait: %s\n", strerror(errno));
      return 1;
    }
    for (size_t i = count; i-- > 0;) {
      if (ready[i + 1].revents == 0 || i >= guest_count || guests[i].fd != ready[i + 1].fd) {
        continue;
      }
      unsigned number = guests[i].number;
      if (!listen_to(&guests[i])) {
        char text[64];
        remove_guest(i);
        snprintf(text, sizeof text, "* guest %u left\n", number);
        say(text);
      }
    }
    if (ready[0].revents != 0) {
      // Not blocking: a guest that does not read must not stop the others.
      int fd = accept4(room, NULL, NULL, SOCK_NONBLOCK);
      if (fd >= 0) {
        welcome(fd, argv[2]);
      }
    }
  }
}
