// SPDX-License-Identifier: Apache-2.0

// Who is at the other end of a connection: the one thing of the demo that knows that it runs in a Keep.

#ifndef DEMO_PEER_H
#define DEMO_PEER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Longest line of text that the chat carries, bytes.
#define LINE_MAX_BYTES 512
// Longest description of a peer, bytes.
#define PEER_MAX_BYTES 2048

// Reads the Keep's word on the connection `fd`: one JSON object. False if there is none.
static bool peer_read(int fd, char json[PEER_MAX_BYTES]) {
  char path[32];
  snprintf(path, sizeof path, "/net/peer/%d", fd);
  int file = open(path, O_RDONLY);
  if (file < 0) {
    return false;
  }
  size_t length = 0;
  for (;;) {
    ssize_t count = read(file, json + length, PEER_MAX_BYTES - 1 - length);
    if (count <= 0) {
      break;
    }
    length += (size_t)count;
  }
  close(file);
  json[length] = '\0';
  return length > 0;
}

// Copies the string member `name` of the flat object `json`. The Keep writes its members without white space and
// without escapes in names and digests, so a plain search is exact. False if there is no such member.
static bool peer_member(const char *json, const char *name, char *value, size_t room) {
  char key[32];
  snprintf(key, sizeof key, "\"%s\":\"", name);
  const char *start = strstr(json, key);
  if (start == NULL) {
    return false;
  }
  start += strlen(key);
  const char *end = strchr(start, '"');
  if (end == NULL || (size_t)(end - start) >= room) {
    return false;
  }
  memcpy(value, start, (size_t)(end - start));
  value[end - start] = '\0';
  return true;
}

// Whether the peer is a Keep that runs some version of `repository` ("host/user/repo"). Writes its workload's name.
static bool peer_is(const char *json, const char *repository, char *workload, size_t room) {
  char kind[16];
  if (!peer_member(json, "kind", kind, sizeof kind) || strcmp(kind, "keep") != 0) {
    return false;
  }
  if (!peer_member(json, "workload", workload, room)) {
    return false;
  }
  size_t length = strlen(repository);
  return strncmp(workload, repository, length) == 0 && workload[length] == ':';
}

// Writes all of `bytes`; false if the connection is gone or does not take it.
static bool write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(fd, bytes, length);
    if (count <= 0) {
      return false;
    }
    bytes += count;
    length -= (size_t)count;
  }
  return true;
}

#endif
