// SPDX-License-Identifier: Apache-2.0
import { fd_write } from "./wasi";
const text = memory.data<u8>([72, 101, 108, 108, 111, 44, 32, 119, 111, 114, 108, 100, 33, 10]);
const iov = memory.data(16, 8);
export function _start(): void {
  store<u32>(iov, <u32>text);
  store<u32>(iov, 14, 4);
  fd_write(1, iov, 1, iov + 8);
}
