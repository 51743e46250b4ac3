// SPDX-License-Identifier: Apache-2.0
// Echoes one connection after another on the preopened listener at descriptor 3.
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  for (;;) {
    int fd = accept(3, NULL, NULL);
    if (fd < 0) {
      perror("accept");
      return 1;
    }
    char bytes[4096];
    ssize_t count;
    while ((count = recv(fd, bytes, sizeof bytes, 0)) > 0) {
      ssize_t sent = 0;
      while (sent < count) {
        ssize_t n = send(fd, bytes + sent, (size_t)(count - sent), 0);
        if (n <= 0) {
          return 1;
        }
        sent += n;
      }
    }
    shutdown(fd, SHUT_RDWR);
    close(fd);
  }
}
