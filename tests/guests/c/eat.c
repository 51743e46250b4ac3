// SPDX-License-Identifier: Apache-2.0
// Takes memory until there is none, then stops as most programs do.
#include <stdlib.h>
#include <string.h>
// Seen from outside, so that the compiler does not leave the blocks out.
char *volatile kept;
int main(void) {
  for (;;) {
    char *block = malloc(1 << 20);
    if (block == NULL) {
      abort();
    }
    memset(block, 1, 1 << 20);
    kept = block;
  }
}
