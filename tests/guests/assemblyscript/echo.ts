// SPDX-License-Identifier: Apache-2.0
// Echoes one connection after another on the preopened listener at descriptor 3.
import { sock_accept, sock_recv, sock_send, fd_close, proc_exit } from "./wasi";
const buffer = memory.data(4096);
const iov = memory.data(32, 8);
export function _start(): void {
  while (true) {
    if (sock_accept(3, 0, iov + 8) != 0) proc_exit(1);
    const fd = load<u32>(iov + 8);
    while (true) {
      store<u32>(iov, <u32>buffer);
      store<u32>(iov, 4096, 4);
      if (sock_recv(fd, iov, 1, 0, iov + 16, iov + 20) != 0) break;
      let left = load<u32>(iov + 16);
      if (left == 0) break;
      let from: u32 = 0;
      while (left > 0) {
        store<u32>(iov, <u32>buffer + from);
        store<u32>(iov, left, 4);
        if (sock_send(fd, iov, 1, 0, iov + 16) != 0) proc_exit(1);
        const sent = load<u32>(iov + 16);
        from += sent;
        left -= sent;
      }
    }
    fd_close(fd);
  }
}
