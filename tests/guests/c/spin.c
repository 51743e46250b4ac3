// SPDX-License-Identifier: Apache-2.0
volatile unsigned long turns;
int main(void) {
  for (;;) {
    turns++;
  }
}
