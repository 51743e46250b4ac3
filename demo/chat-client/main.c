// SPDX-License-Identifier: Apache-2.0

// Joins the chat room: lines from standard input go to the room, what the room says goes to standard output.
//
// Arguments: the room's address ("host:port"), and the repository ("host/user/repo") that it must run.

#include "../common/peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: chat-client HOST:PORT REPOSITORY\n", stderr);
    return 2;
  }
  char path[300];
  snprintf(path, sizeof path, "/net/con/%s", argv[1]);
  int room = open(path, O_RDWR);
  if (room < 0) {
    fprintf(stderr, "cannot reach the room at %s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  char json[PEER_MAX_BYTES], workload[LINE_MAX_BYTES];
  if (!peer_read(room, json) || !peer_is(json, argv[2], workload, sizeof workload)) {
    fprintf(stderr, "the room is not a Keep that runs %s\n", argv[2]);
    return 1;
  }
  printf("* connected to %s\n", workload);
  fflush(stdout);
  bool typing = true;
  for (;;) {
    struct pollfd ready[2] = {{.fd = room, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    if (poll(ready, typing ? 2 : 1, -1) < 0) {
      fprintf(stderr, "cannot wait: %s\n", strerror(errno));
      return 1;
    }
    char text[LINE_MAX_BYTES];
    if (ready[0].revents != 0) {
      ssize_t count = read(room, text, sizeof text);
      if (count <= 0) {
        puts("* the room has closed");
        return count == 0 ? 0 : 1;
      }
      write_all(STDOUT_FILENO, text, (size_t)count);
    }
    if (typing && ready[1].revents != 0) {
      ssize_t count = read(STDIN_FILENO, text, sizeof text);
      if (count <= 0) {
        // Nothing more to say: the room sees the end, and lets go once it has said all.
        typing = false;
        shutdown(room, SHUT_WR);
        continue;
      }
      if (!write_all(room, text, (size_t)count)) {
        fputs("the room does not listen any more\n", stderr);
        return 1;
      }
    }
  }
}
