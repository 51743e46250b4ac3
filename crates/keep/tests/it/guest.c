// SPDX-License-Identifier: Apache-2.0

// A stand-in for the Keep's program: does what its first argument says and tells of it over the link.
// Built by the test with `cc -static-pie -pthread`.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK 3
#define GET_ATTESTATION 0xEA01

extern char **environ;

static void frame(const char *json, size_t length) {
    unsigned char head[4] = {length >> 24, length >> 16, length >> 8, length};
    if (write(LINK, head, 4) != 4 || write(LINK, json, length) != (ssize_t)length) _exit(99);
}

// One line of the log. `text` needs no escapes.
static void say(const char *format, ...) {
    char text[2048], json[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    int length = snprintf(json, sizeof json, "{\"message\":\"log\",\"level\":\"info\",\"text\":\"%s\"}", text);
    frame(json, length);
}

static void fill(void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t n = read(LINK, (char *)to + done, length - done);
        if (n <= 0) _exit(98);
        done += n;
    }
}

static size_t receive(char *to, size_t room) {
    unsigned char head[4];
    fill(head, 4);
    size_t length = (size_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
    if (length >= room) _exit(97);
    fill(to, length);
    to[length] = 0;
    return length;
}

static void facts(int argc, char **argv) {
    say("argc=%d argv0=%s env=%d", argc, argv[0], environ[0] != NULL);
    char open[256] = "";
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0) snprintf(open + strlen(open), sizeof open - strlen(open), " %d", fd);
    say("open:%s", open);
    say("dumpable=%d", prctl(PR_GET_DUMPABLE));
    say("root=%d", geteuid() == 0);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    int blocked = 0, ignored = 0;
    for (int s = 1; s < 65; s++) {
        struct sigaction action;
        if (sigismember(&mask, s) == 1) blocked++;
        if (sigaction(s, NULL, &action) == 0 && action.sa_handler != SIG_DFL) ignored++;
    }
    say("blocked=%d ignored=%d", blocked, ignored);
}

static void tell(const char *name, long result) {
    if (result >= 0) say("%s=ok", name);
    else say("%s=%s", name, strerrorname_np(errno));
}

#define TRY(name, ...) tell(name, syscall(__VA_ARGS__))

static void refused(void) {
    char byte = 'x';
    struct sock_fprog { unsigned short len; void *filter; } program = {0, NULL};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    pid_t parent = getppid();
    TRY("open", SYS_open, "/", O_RDONLY);
    TRY("openat", SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    TRY("stat", SYS_stat, "/", &program);
    TRY("readlink", SYS_readlink, "/proc/self/exe", &byte, 1);
    TRY("execve", SYS_execve, "/bin/sh", NULL, NULL);
    TRY("execveat", SYS_execveat, 0, "", NULL, NULL, AT_EMPTY_PATH);
    TRY("execveat-path", SYS_execveat, 4, "/bin/sh", NULL, NULL, 0);
    TRY("fork", SYS_fork);
    TRY("vfork", SYS_vfork);
    TRY("clone", SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    TRY("clone3", SYS_clone3, NULL, 0);
    TRY("unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    TRY("udp", SYS_socket, AF_INET, SOCK_DGRAM, 0);
    TRY("raw", SYS_socket, AF_INET6, SOCK_RAW, IPPROTO_TCP);
    TRY("netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0);
    TRY("socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL);
    TRY("kill-parent", SYS_kill, parent, SIGKILL);
    TRY("kill-all", SYS_kill, -1, SIGKILL);
    TRY("tgkill-parent", SYS_tgkill, parent, parent, SIGKILL);
    TRY("prlimit-parent", SYS_prlimit64, parent, 7, NULL, NULL);
    TRY("tiocsti", SYS_ioctl, 0, TIOCSTI, &byte);
    TRY("attach-filter", SYS_setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    TRY("ulp", SYS_setsockopt, fd, IPPROTO_TCP, 31, "tls", 3);
    TRY("pdeathsig", SYS_prctl, PR_SET_PDEATHSIG, 0);
    TRY("dumpable", SYS_prctl, PR_SET_DUMPABLE, 1);
    TRY("setown", SYS_fcntl, fd, F_SETOWN, parent);
    TRY("seccomp", SYS_seccomp, 0, 0, NULL);
    TRY("io_uring", SYS_io_uring_setup, 1, NULL);
    TRY("memfd", SYS_memfd_create, "x", 0);
    TRY("unknown", 9999);
}

static void *thread(void *argument) {
    *(int *)argument = 7;
    return argument;
}

static void allowed(void) {
    int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    tell("socket", fd);
    tell("reuseaddr", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    tell("nodelay", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    tell("bind", bind(fd, (struct sockaddr *)&any, sizeof any));
    tell("listen", listen(fd, 1));
    pthread_t other;
    int seen = 0;
    tell("thread", -pthread_create(&other, NULL, thread, &seen));
    pthread_join(other, NULL);
    say("seen=%d", seen);
    unsigned char code[] = {0xB8, 42, 0, 0, 0, 0xC3};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    tell("mprotect", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    say("jit=%d", ((int (*)(void))page)());
}

static sigjmp_buf back;
static volatile int caught;

static void handler(int signal, siginfo_t *info, void *context) {
    (void)context;
    caught = signal;
    if (signal == SIGSEGV && info->si_addr != (void *)0x1000) caught = -1;
    if (signal < SIGRTMIN) siglongjmp(back, 1);
}

static void *traps(void *argument) {
    const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGRTMIN + 3};
    char text[128] = "";
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&stack, NULL);
    for (int i = 0; i < 4; i++) {
        struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
        sigaction(signals[i], &action, NULL);
        caught = 0;
        if (sigsetjmp(back, 1) == 0) {
            volatile int zero = 0;
            if (i == 0) *(volatile int *)0x1000 = 1;
            if (i == 1) __builtin_trap();
            if (i == 2) zero = 1000 / zero;
            if (i == 3) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signals[i]);
        }
        snprintf(text + strlen(text), sizeof text - strlen(text), " %d", caught == signals[i]);
    }
    say("%s:%s", (char *)argument, text);
    return NULL;
}

static void in_threads(void *(*what)(void *)) {
    pthread_t other;
    what("main");
    if (pthread_create(&other, NULL, what, "second") != 0) _exit(96);
    pthread_join(other, NULL);
}

struct two { long rax, rdx; };

static struct two get_attestation(const void *data, long length, void *buffer, long room) {
    struct two answer;
    register long r10 __asm__("r10") = room;
    __asm__ volatile("syscall"
                     : "=a"(answer.rax), "=d"(answer.rdx)
                     : "a"((long)GET_ATTESTATION), "D"(data), "S"(length), "d"(buffer), "r"(r10)
                     : "rcx", "r11", "memory");
    return answer;
}

static void show(const char *who, const char *what, struct two answer) {
    if (answer.rax < 0) say("%s %s: %s rdx=%ld", who, what, strerrorname_np(-answer.rax), answer.rdx);
    else say("%s %s: %ld rdx=%ld", who, what, answer.rax, answer.rdx);
}

static void *attest(void *argument) {
    const char *who = argument;
    unsigned char data[64], buffer[8192];
    for (int i = 0; i < 64; i++) data[i] = i;
    show(who, "size", get_attestation(NULL, 64, NULL, 0));
    show(who, "short-data", get_attestation(data, 63, buffer, sizeof buffer));
    show(who, "no-room", get_attestation(data, 64, buffer, 0));
    show(who, "negative", get_attestation(data, 64, buffer, -1));
    show(who, "small", get_attestation(data, 64, buffer, 10));
    show(who, "bad-data", get_attestation((void *)0x1000, 64, buffer, sizeof buffer));
    show(who, "bad-buffer", get_attestation(data, 64, (void *)0x1000, sizeof buffer));
    show(who, "kernel-buffer", get_attestation(data, 64, (void *)0xFFFFFFFF81000000, sizeof buffer));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show(who, "read-only", get_attestation(data, 64, page, 4096));
    memset(buffer, 0xEE, sizeof buffer);
    struct two answer = get_attestation(data, 64, buffer, sizeof buffer);
    show(who, "good", answer);
    // The test's source answers with the data backwards, and then 36 times 7.
    int right = answer.rax == 100;
    for (int i = 0; right && i < 64; i++) right = buffer[i] == 63 - i;
    for (int i = 64; right && i < 100; i++) right = buffer[i] == 7;
    say("%s right=%d after=%x", who, right, buffer[100]);
    data[0] = 0xFF;
    show(who, "source-fails", get_attestation(data, 64, buffer, sizeof buffer));
    return NULL;
}

static void killed(const char *what) {
    if (!strcmp(what, "ptrace")) syscall(SYS_ptrace, 0, 0, 0, 0);
    if (!strcmp(what, "process_vm_readv")) syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
    if (!strcmp(what, "bpf")) syscall(SYS_bpf, 0, NULL, 0);
    if (!strcmp(what, "keyctl")) syscall(SYS_keyctl, 0, 0, 0, 0, 0);
    if (!strcmp(what, "mount")) syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
    if (!strcmp(what, "unshare")) syscall(SYS_unshare, CLONE_NEWUSER);
    if (!strcmp(what, "setuid")) syscall(SYS_setuid, 0);
    if (!strcmp(what, "perf_event_open")) syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0);
    if (!strcmp(what, "int80")) __asm__ volatile("int $0x80" : : "a"(20L) : "memory");
    say("%s was survived", what);
}

static void resolve(const char *host) {
    char json[512], answer[8192];
    int length = snprintf(json, sizeof json, "{\"message\":\"resolve\",\"host\":\"%s\",\"port\":443}", host);
    frame(json, length);
    receive(answer, sizeof answer);
    for (char *c = answer; *c; c++)
        if (*c == '"') *c = '.';
    say("%s", answer);
}

static void files(const char *boot) {
    // The boot message ends its files with the lengths; the test sends two, of 5 and of 70000 bytes.
    static unsigned char content[70005];
    fill(content, sizeof content);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof content; i++) sum += content[i];
    int headers = strstr(boot, "\"path\":\"a\",\"length\":5") && strstr(boot, "\"path\":\"b/c\",\"length\":70000");
    say("headers=%d sum=%u", headers, sum);
}

int main(int argc, char **argv) {
    static char boot[1 << 20];
    char what[64] = "";
    receive(boot, sizeof boot);
    const char *arguments = strstr(boot, "\"args\":[\"");
    if (arguments) sscanf(arguments, "\"args\":[\"%63[^\"]", what);
    const char *rest = strchr(what, ' ') ? strchr(what, ' ') + 1 : "";

    if (!strcmp(what, "facts")) facts(argc, argv);
    else if (!strcmp(what, "refused")) refused();
    else if (!strcmp(what, "allowed")) allowed();
    else if (!strcmp(what, "traps")) in_threads(traps);
    else if (!strcmp(what, "attest")) in_threads(attest);
    else if (!strcmp(what, "files")) files(boot);
    else if (!strncmp(what, "killed ", 7)) killed(rest);
    else if (!strncmp(what, "resolve ", 8)) resolve(rest);
    else if (!strcmp(what, "garbage")) { frame("{\"message\":\"root\"}", 18); pause(); }
    else if (!strcmp(what, "long-frame")) { if (write(LINK, "\xFF\xFF\xFF\xFF", 4) != 4) _exit(95); pause(); }
    else if (!strcmp(what, "questions")) for (;;) frame("{\"message\":\"resolve\",\"host\":\"a.invalid\",\"port\":1}", 49);
    else if (!strcmp(what, "control")) say("a\\u001b[31m\\nb");
    else if (!strcmp(what, "crash")) *(volatile int *)0x1000 = 1;
    else if (!strcmp(what, "abort")) abort();
    else if (!strcmp(what, "output")) { if (write(1, "out", 3) != 3 || write(2, "err", 3) != 3) _exit(94); }
    else if (!strcmp(what, "input")) {
        char byte = '-';
        ssize_t length = read(0, &byte, 1);
        say("read=%zd %c", length, byte);
    }
    else if (!strcmp(what, "stay")) {
        say("up");
        // A second thread, so that there is more than one to end.
        pthread_t other;
        pthread_create(&other, NULL, (void *(*)(void *))pause, NULL);
        for (;;) poll(NULL, 0, -1);
    } else return 90;
    return 3;
}
