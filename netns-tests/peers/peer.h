/*
 * The common part of the peers in C: the command line, the script, the contents of messages and the
 * output. interop/script.rs has the same in Rust and explains the words.
 *
 * A peer includes this file, defines the functions declared below and calls run() from main().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST (4 << 20)
#define MAX_ADDRS 4
#define MAX_SIZES 64
#define WORD "anybody?" /* Sent until the association is lost. No message of a flow is like it. */
#define LIFE 150 /* A peer ends by itself after this time, so that it cannot outlive its test, s. */

struct addrs { int count; struct sockaddr_storage all[MAX_ADDRS]; };

static struct {
	int raw, udp, peer_udp, port, peer_port, streams, window, fast, family;
	const char *extensions;
	struct addrs own, peer;
} setup = { .udp = 9899, .peer_udp = 9899, .port = 5000, .peer_port = 5000, .streams = 10 };

struct flow {
	unsigned long n;
	int sizes, streams, unordered;
	size_t size[MAX_SIZES];
	uint32_t ppid;
	double pause, seconds;
};

enum event { DATA, RESTARTED, GRACEFUL, LOST };

/* A piece of a message. */
struct piece { size_t len; uint16_t stream; uint32_t ppid; int unordered, last; };

static void peer_init(void);
static void peer_listen(void);
static void peer_accept(void);
static void peer_connect(void);
/* Returns -1 when the message cannot be sent. */
static int peer_send(uint16_t stream, uint32_t ppid, int unordered, const void *data, size_t len);
static enum event peer_receive(void *buffer, size_t room, struct piece *piece);
static void peer_shutdown(void);
static void peer_abort(void);
/* Whether the association is gone. */
static int peer_gone(void);

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static void wrong(const char *what)
{
	printf("wrong: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static void fail(const char *what)
{
	char text[300];
	snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
	wrong(text);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void rest(double seconds)
{
	struct timespec t = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9) };
	if (seconds > 0)
		nanosleep(&t, NULL);
}

static socklen_t addr_len(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Writes all addresses, with the port, one after the other, which is what bindx and connectx take.
 * Returns their length in bytes. */
static size_t pack(const struct addrs *addrs, int port, char *into)
{
	size_t len = 0;
	for (int i = 0; i < addrs->count; i++) {
		struct sockaddr_storage addr = addrs->all[i];
		if (addr.ss_family == AF_INET)
			((struct sockaddr_in *)&addr)->sin_port = htons(port);
		else
			((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
		memcpy(into + len, &addr, addr_len(&addr));
		len += addr_len(&addr);
	}
	return len;
}

static void parse_addrs(struct addrs *addrs, const char *text)
{
	char copy[200], *next = copy, *one;
	snprintf(copy, sizeof copy, "%s", text);
	while ((one = strsep(&next, ","))) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&addrs->all[addrs->count];
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addrs->all[addrs->count];
		if (addrs->count == MAX_ADDRS)
			wrong("too many addresses");
		if (inet_pton(AF_INET, one, &v4->sin_addr) == 1)
			v4->sin_family = AF_INET;
		else if (inet_pton(AF_INET6, one, &v6->sin6_addr) == 1)
			v6->sin6_family = setup.family = AF_INET6;
		else
			wrong(one);
		addrs->count++;
	}
}

/* "n=3:size=1+2:streams=4" */
static struct flow parse_flow(const char *text)
{
	struct flow flow = { .streams = 1, .sizes = 1, .size = { 1000 }, .ppid = 0 };
	char copy[1000], *next = copy, *word;
	snprintf(copy, sizeof copy, "%s", text);
	while ((word = strsep(&next, ":"))) {
		char *value = strchr(word, '=');
		if (!value)
			wrong(word);
		*value++ = 0;
		if (!strcmp(word, "n")) flow.n = atol(value);
		else if (!strcmp(word, "streams")) flow.streams = atoi(value);
		else if (!strcmp(word, "unordered")) flow.unordered = atoi(value);
		else if (!strcmp(word, "ppid")) flow.ppid = strtoul(value, NULL, 10);
		else if (!strcmp(word, "pause")) flow.pause = atof(value) / 1e3;
		else if (!strcmp(word, "seconds")) flow.seconds = atof(value);
		else if (!strcmp(word, "size")) {
			char *size;
			flow.sizes = 0;
			while ((size = strsep(&value, "+")) && flow.sizes < MAX_SIZES)
				flow.size[flow.sizes++] = atol(size);
		} else
			wrong(word);
	}
	return flow;
}

static uint32_t flow_ppid(const struct flow *flow, unsigned long number)
{
	return flow->ppid ? flow->ppid + (uint32_t)number : 53;
}

static unsigned char byte_at(uint32_t number, uint32_t at)
{
	uint32_t x = number * 0x9e3779b1u + at;
	x = (x ^ x >> 15) * 0x85ebca6bu;
	return x ^ x >> 13;
}

static void put_number(unsigned char *data, uint32_t number)
{
	number = htonl(number);
	memcpy(data, &number, 4);
}

static uint32_t get_number(const unsigned char *data)
{
	uint32_t number;
	memcpy(&number, data, 4);
	return ntohl(number);
}

static void fill(unsigned char *data, size_t len, uint32_t number)
{
	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(number, i);
	if (len >= 8)
		put_number(data, number);
}

static void do_send(const struct flow *flow)
{
	unsigned char *data = malloc(MOST);
	double begin = now();
	unsigned long number = 0;
	for (; flow->seconds ? now() - begin < flow->seconds : number < flow->n; number++) {
		size_t len = flow->size[number % flow->sizes];
		fill(data, len, number);
		if (peer_send(number % flow->streams, flow_ppid(flow, number), flow->unordered, data, len) < 0)
			fail("send");
		rest(flow->pause);
	}
	if (flow->seconds) {
		put_number(data, number);
		if (peer_send(0, 53, 0, data, 4) < 0)
			fail("send");
	}
	printf("sent n=%lu ms=%.0f\n", number, (now() - begin) * 1e3);
	fflush(stdout);
	free(data);
}

static void *send_thread(void *flow)
{
	do_send(flow);
	return NULL;
}

/* Receives the next whole message. */
static enum event receive_message(unsigned char *data, struct piece *message)
{
	size_t len = 0;
	for (;;) {
		enum event event = peer_receive(data + len, MOST - len, message);
		if (event != DATA)
			return event;
		len += message->len;
		if (message->last) {
			message->len = len;
			return DATA;
		}
		if (len == MOST)
			wrong("a message that is too long");
	}
}

static void do_expect(const struct flow *flow)
{
	static unsigned char *data;
	unsigned long got = 0, most = flow->seconds ? ~0ul : flow->n;
	unsigned long *next = calloc(flow->streams, sizeof *next);
	char *seen = flow->unordered ? calloc(flow->n, 1) : NULL, text[200];
	unsigned long long bytes = 0;
	double told = 0;
	if (!data)
		data = malloc(MOST);
	while (got < most) {
		struct piece message;
		unsigned long number;
		size_t len;
		enum event event = receive_message(data, &message);
		if (event != DATA) {
			snprintf(text, sizeof text, "the association ended or restarted (%d) after %lu messages",
			         event, got);
			wrong(text);
		}
		/* The other end has received everything and sends this word already, while one of its
		 * messages on another stream may still be on its way. */
		if (message.len == strlen(WORD) && !memcmp(data, WORD, message.len))
			continue;
		if (flow->seconds && message.len == 4) {
			most = get_number(data);
			continue;
		}
		if (message.stream >= flow->streams)
			wrong("a message on a stream that is not used");
		number = flow->unordered ? get_number(data)
		                         : next[message.stream]++ * flow->streams + message.stream;
		if (flow->unordered && (message.len < 8 || number >= flow->n || seen[number]++))
			wrong("an unordered message is damaged or came twice");
		len = flow->size[number % flow->sizes];
		snprintf(text, sizeof text,
		         "message %lu on stream %u: %zu bytes for %zu, ppid %u, unordered %d", number,
		         message.stream, message.len, len, message.ppid, message.unordered);
		if (message.len != len || message.ppid != flow_ppid(flow, number) ||
		    message.unordered != flow->unordered || number % flow->streams != message.stream)
			wrong(text);
		for (size_t i = 0; i < len; i++) {
			unsigned char due = byte_at(number, i);
			if (i < 4 && len >= 8)
				due = number >> (24 - 8 * i);
			if (data[i] != due) {
				snprintf(text, sizeof text, "message %lu differs at byte %zu of %zu", number, i, len);
				wrong(text);
			}
		}
		got++;
		bytes += len;
		if (now() - told > 0.2) {
			printf("at n=%lu\n", got);
			fflush(stdout);
			told = now();
		}
		rest(flow->pause);
	}
	printf("got n=%lu bytes=%llu\n", got, bytes);
	fflush(stdout);
	free(next);
	free(seen);
}

/* Waits for an event other than a message. */
static void do_await(enum event due, const char *word)
{
	static unsigned char data[65536];
	struct piece piece;
	enum event event;
	char text[100];
	double end = now() + 30;
	do
		event = peer_receive(data, sizeof data, &piece);
	while (event == DATA && due == LOST);
	if (event != due) {
		snprintf(text, sizeof text, "event %d came when the association should have %s", event, word);
		wrong(text);
	}
	while (due == GRACEFUL && !peer_gone()) {
		if (now() > end)
			wrong("the association does not go away after the shutdown");
		rest(0.005);
	}
	say(word);
}

/* Sends WORD now and then until the association is gone. */
static void *poke(void *unused)
{
	(void)unused;
	while (peer_send(0, 53, 0, WORD, strlen(WORD)) >= 0)
		rest(0.2);
	return NULL;
}

static void step(const char *word)
{
	static pthread_t sender;
	static struct flow sending;
	const char *options = strchr(word, ':');
	size_t len = options ? (size_t)(options - word) : strlen(word);
#define IS(name) (len == strlen(name) && !strncmp(word, name, len))
	options = options ? options + 1 : "";
	if (IS("listen")) { peer_listen(); say("ready"); }
	else if (IS("accept")) { peer_accept(); say("up"); }
	else if (IS("connect")) { peer_connect(); say("up"); }
	else if (IS("send")) { struct flow flow = parse_flow(options); do_send(&flow); }
	else if (IS("&send")) {
		sending = parse_flow(options);
		pthread_create(&sender, NULL, send_thread, &sending);
	}
	else if (IS("join")) pthread_join(sender, NULL);
	else if (IS("expect")) { struct flow flow = parse_flow(options); do_expect(&flow); }
	else if (IS("sleep")) rest(atof(options) / 1e3);
	else if (IS("shutdown")) { say("closing"); peer_shutdown(); do_await(GRACEFUL, "graceful"); }
	else if (IS("ended")) do_await(GRACEFUL, "graceful");
	else if (IS("abort")) { peer_abort(); say("aborted"); }
	else if (IS("aborted")) do_await(LOST, "aborted");
	else if (IS("restarted")) do_await(RESTARTED, "restarted");
	else if (IS("lost")) { pthread_create(&sender, NULL, poke, NULL); do_await(LOST, "lost"); }
	else if (IS("hold")) { say("holding"); for (;;) pause(); }
	else wrong(word);
}

static int run(int argc, char **argv)
{
	int i;
	alarm(LIFE);
	setup.family = AF_INET;
	/* IPv6 addresses contain colons, too, but only a step has one before the first '='. */
	for (i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '='), *colon = strchr(argv[i], ':');
		size_t len;
		if (!value || (colon && colon < value))
			break;
		len = value++ - argv[i];
#define KEY(name) (len == strlen(name) && !strncmp(argv[i], name, len))
		if (KEY("link")) setup.raw = !strcmp(value, "raw");
		else if (KEY("udp")) setup.udp = atoi(value);
		else if (KEY("peer-udp")) setup.peer_udp = atoi(value);
		else if (KEY("port")) setup.port = atoi(value);
		else if (KEY("peer-port")) setup.peer_port = atoi(value);
		else if (KEY("streams")) setup.streams = atoi(value);
		else if (KEY("window")) setup.window = atoi(value);
		else if (KEY("fast")) setup.fast = atoi(value);
		else if (KEY("extensions")) setup.extensions = value;
		else if (KEY("own")) parse_addrs(&setup.own, value);
		else if (KEY("peer")) parse_addrs(&setup.peer, value);
		else wrong(argv[i]);
	}
	peer_init();
	for (; i < argc; i++)
		step(argv[i]);
	say("done");
	_exit(0);
}
