/* One end of a transfer over usrsctp, or both in one thread. `sctp-perf compare` builds it:
 *
 *     cc -O3 -march=native -o usrsctp usrsctp.c -lusrsctp -lpthread
 *
 * usrsctp MODE [key=value...], modes and keys as those of the Rust drivers (src/main.rs);
 * `encap=raw` (with `own=` and `server=`, addresses) goes directly in IP, otherwise UDP
 * encapsulation on loopback is used.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <usrsctp.h>

#define SCTP_PORT 5001
#define BUFFER (4 << 20)
/* An end goes on for so long after its window, because that of the other end may begin a little
 * later. */
#define GRACE 0.3

static double warmup = 0.5, seconds = 2.0;
static size_t size = 16384;
static int pingpong, raw, port, peer_port;
static unsigned count = 5000; /* it refuses more than some 16 000 */
static const char *own = "127.0.0.1", *server = "127.0.0.1";

static void fail(const char *what)
{
	fprintf(stderr, "usrsctp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What happens in the time window after the warm-up, which begins with the first message. */
static struct { double begin, start, cpu, printed; uint64_t bytes, messages; } window;

/* Counts a batch; true when the end may stop. */
static int add(uint64_t bytes, uint64_t messages)
{
	double t;
	if (messages == 0 && window.begin == 0)
		return 0;
	t = now();
	if (window.begin == 0)
		window.begin = t;
	if (window.start == 0) {
		if (t - window.begin >= warmup) {
			window.start = t;
			window.cpu = cpu();
		}
	} else if (window.printed == 0) {
		window.bytes += bytes;
		window.messages += messages;
		if (t - window.start >= seconds) {
			window.printed = t;
			printf("{\"bytes\":%llu,\"messages\":%llu,\"seconds\":%f,\"cpu_s\":%f}\n",
			       (unsigned long long)window.bytes, (unsigned long long)window.messages,
			       t - window.start, cpu() - window.cpu);
			fflush(stdout);
		}
	}
	return window.printed != 0 && t - window.printed >= GRACE;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Packets of 1452 bytes, in IP of 1480: what usrsctp calls the path MTU here is the room for
 * chunks, without the common header. */
static void set_options(struct socket *so, int conn)
{
	struct sctp_paddrparams params;
	int size = BUFFER, on = 1;
	memset(&params, 0, sizeof params);
	params.spp_flags = SPP_PMTUD_DISABLE;
	params.spp_pathmtu = (!conn && raw ? 1480 : 1452) - 12;
	params.spp_address.ss_family = conn ? AF_CONN : AF_INET;
	usrsctp_setsockopt(so, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	usrsctp_setsockopt(so, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on);
	if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &params, sizeof params) < 0)
		fail("SCTP_PEER_ADDR_PARAMS");
}

static struct sockaddr_in address(const char *ip)
{
	struct sockaddr_in sin;
	memset(&sin, 0, sizeof sin);
	sin.sin_family = AF_INET;
	sin.sin_port = htons(SCTP_PORT);
	if (inet_pton(AF_INET, ip, &sin.sin_addr) != 1)
		fail(ip);
	return sin;
}

static void run_server(void)
{
	struct socket *listening, *so;
	struct sockaddr_in from, sin = address(own);
	socklen_t fromlen;
	struct sctp_rcvinfo info;
	socklen_t infolen;
	unsigned infotype;
	int flags;
	char *buf = malloc(1 << 20);
	uint64_t bytes = 0, messages = 0;

	if (!(listening = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL)))
		fail("usrsctp_socket");
	set_options(listening, 0);
	if (usrsctp_bind(listening, (struct sockaddr *)&sin, sizeof sin) < 0 ||
	    usrsctp_listen(listening, 1) < 0)
		fail("usrsctp_bind");
	printf("ready port=%d\n", port);
	fflush(stdout);
	if (!(so = usrsctp_accept(listening, NULL, NULL)))
		fail("usrsctp_accept");
	for (;;) {
		ssize_t n;
		fromlen = sizeof from;
		infolen = sizeof info;
		flags = 0;
		n = usrsctp_recvv(so, buf, 1 << 20, (struct sockaddr *)&from, &fromlen, &info, &infolen,
		                  &infotype, &flags);
		if (n <= 0) {
			if (window.printed)
				return;
			fail("usrsctp_recvv");
		}
		if (flags & MSG_NOTIFICATION)
			continue;
		if (pingpong) {
			if (usrsctp_sendv(so, buf, n, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) < 0)
				fail("usrsctp_sendv");
			continue;
		}
		bytes += n;
		messages += (flags & MSG_EOR) != 0;
		/* The clock is read once for so many small messages. */
		if (bytes >= 16384) {
			if (add(bytes, messages))
				return;
			bytes = messages = 0;
		}
	}
}

static void ping(struct socket *so, char *buf)
{
	size_t most = 1 << 22, n = 0;
	double *times = malloc(most * sizeof *times), begin = now(), sent, back;
	struct sockaddr_in from;
	struct sctp_rcvinfo info;
	unsigned infotype;
	do {
		socklen_t fromlen = sizeof from, infolen = sizeof info;
		int flags = 0;
		sent = now();
		if (usrsctp_sendv(so, buf, size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) < 0)
			fail("usrsctp_sendv");
		if (usrsctp_recvv(so, buf, size, (struct sockaddr *)&from, &fromlen, &info, &infolen,
		                  &infotype, &flags) <= 0)
			fail("usrsctp_recvv");
		back = now();
		if (back - begin >= warmup && n < most)
			times[n++] = back - sent;
	} while (back - begin < warmup + seconds);
	qsort(times, n, sizeof *times, compare);
	printf("{\"count\":%zu,\"p50_us\":%f,\"p99_us\":%f}\n", n, times[(n - 1) / 2] * 1e6,
	       times[(size_t)((n - 1) * 0.99)] * 1e6);
	fflush(stdout);
}

static void run_client(void)
{
	struct socket *so;
	struct sockaddr_in sin = address(server);
	char *buf = calloc(1, size);
	uint64_t batch = size >= 16384 ? 1 : 16384 / size;

	if (!(so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL)))
		fail("usrsctp_socket");
	if (!raw) {
		struct sctp_udpencaps encaps;
		memset(&encaps, 0, sizeof encaps);
		encaps.sue_address.ss_family = AF_INET;
		encaps.sue_port = htons(peer_port);
		if (usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps) < 0)
			fail("SCTP_REMOTE_UDP_ENCAPS_PORT");
	}
	set_options(so, 0);
	if (raw) {
		/* It finds no source by itself. */
		struct sockaddr_in from = address(own);
		from.sin_port = 0;
		if (usrsctp_bind(so, (struct sockaddr *)&from, sizeof from) < 0)
			fail("usrsctp_bind");
	}
	if (usrsctp_connect(so, (struct sockaddr *)&sin, sizeof sin) < 0)
		fail("usrsctp_connect");
	if (pingpong) {
		ping(so, buf);
		return;
	}
	for (;;) {
		for (uint64_t i = 0; i < batch; i++) {
			if (usrsctp_sendv(so, buf, size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) < 0) {
				if (window.printed)
					return;
				fail("usrsctp_sendv");
			}
		}
		if (add(batch * size, batch))
			return;
	}
}

/* Both ends in one thread: packets go through a queue between two addresses of family AF_CONN. */

struct packet { struct packet *next; void *to; size_t len; char data[]; };
static struct packet *first, **last = &first;
static char side_a, side_b;

static int queue_packet(void *addr, void *data, size_t len, uint8_t tos, uint8_t df)
{
	struct packet *p = malloc(sizeof *p + len);
	(void)tos;
	(void)df;
	p->next = NULL;
	p->to = addr == &side_a ? &side_b : &side_a;
	p->len = len;
	memcpy(p->data, data, len);
	*last = p;
	last = &p->next;
	return 0;
}

static void deliver(void)
{
	while (first) {
		struct packet *p = first;
		if (!(first = p->next))
			last = &first;
		usrsctp_conninput(p->to, p->data, p->len, 0);
		free(p);
	}
}

static struct sockaddr_conn conn_address(void *addr, int port)
{
	struct sockaddr_conn sconn;
	memset(&sconn, 0, sizeof sconn);
	sconn.sconn_family = AF_CONN;
	sconn.sconn_port = htons(port);
	sconn.sconn_addr = addr;
	return sconn;
}

static struct socket *conn_socket(void *addr, int port)
{
	struct sockaddr_conn sconn = conn_address(addr, port);
	struct socket *so = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!so)
		fail("usrsctp_socket");
	usrsctp_set_non_blocking(so, 1);
	set_options(so, 1);
	if (usrsctp_bind(so, (struct sockaddr *)&sconn, sizeof sconn) < 0)
		fail("usrsctp_bind");
	return so;
}

static void tick(void)
{
	static double before;
	double t = now();
	if (before == 0)
		before = t;
	if (t - before >= 0.01) {
		usrsctp_handle_timers((uint32_t)((t - before) * 1000));
		before = t;
	}
}

/* A listening socket at side b. */
static struct socket *conn_server(void)
{
	struct socket *so = conn_socket(&side_b, SCTP_PORT);
	if (usrsctp_listen(so, 4096) < 0)
		fail("usrsctp_listen");
	return so;
}

static struct socket *conn_connect(struct socket *listening, int own_port, struct socket **accepted)
{
	/* With this family a peer is known by the address of the own side. */
	struct sockaddr_conn to = conn_address(&side_a, SCTP_PORT);
	struct socket *so = conn_socket(&side_a, own_port);
	if (usrsctp_connect(so, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
		fail("usrsctp_connect");
	deliver();
	if (!(*accepted = usrsctp_accept(listening, NULL, NULL)))
		fail("usrsctp_accept");
	usrsctp_set_non_blocking(*accepted, 1);
	return so;
}

static void run_core(void)
{
	struct socket *in, *out = conn_connect(conn_server(), 6000, &in);
	char *message = calloc(1, size), *buf = malloc(1 << 20);
	struct sockaddr_conn from;
	struct sctp_rcvinfo info;
	unsigned infotype;
	for (;;) {
		uint64_t bytes = 0, messages = 0;
		size_t queued = 0;
		while (queued < 256 * 1024 &&
		       usrsctp_sendv(out, message, size, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) >= 0)
			queued += size;
		deliver();
		for (;;) {
			socklen_t fromlen = sizeof from, infolen = sizeof info;
			int flags = 0;
			ssize_t n = usrsctp_recvv(in, buf, 1 << 20, (struct sockaddr *)&from, &fromlen, &info,
			                          &infolen, &infotype, &flags);
			if (n <= 0)
				break;
			bytes += n;
			messages += (flags & MSG_EOR) != 0;
		}
		deliver();
		tick();
		if (add(bytes, messages))
			return;
	}
}

static long resident(void)
{
	long total, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2)
		fail("/proc/self/statm");
	fclose(f);
	return pages * 4096;
}

static void run_idle(void)
{
	struct socket *listening = conn_server(), *in;
	long before;
	conn_connect(listening, 9999, &in);
	before = resident();
	for (unsigned i = 0; i < count; i++)
		conn_connect(listening, 10000 + i, &in);
	printf("{\"bytes_per_end\":%f}\n", (resident() - before) / (2.0 * count));
	fflush(stdout);
	/* Taking so many down takes longer than anybody waits. */
	_exit(0);
}

static void run_setup(void)
{
	struct socket *listening = conn_server(), *in[1000], *out[1000];
	struct linger hard = { 1, 0 };
	double spent = 0;
	unsigned long done = 0;
	while (spent < seconds) {
		double start = now();
		for (int i = 0; i < 1000; i++)
			out[i] = conn_connect(listening, 10000 + (int)((done + i) % 50000), &in[i]);
		spent += now() - start;
		done += 1000;
		for (int i = 0; i < 1000; i++) {
			usrsctp_setsockopt(out[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
			usrsctp_setsockopt(in[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
			usrsctp_close(out[i]);
			deliver();
			usrsctp_close(in[i]);
			deliver();
		}
		tick();
	}
	printf("{\"per_second\":%f}\n", done / spent);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int conn = !strcmp(mode, "core") || !strcmp(mode, "setup") || !strcmp(mode, "idle");
	for (int i = 2; i < argc; i++) {
		const char *value = strchr(argv[i], '=');
		size_t len;
		if (!value) {
			fprintf(stderr, "usrsctp: '%s' is not key=value\n", argv[i]);
			return 2;
		}
		len = value++ - argv[i];
#define KEY(name) (len == strlen(name) && !strncmp(argv[i], name, len))
		if (KEY("size")) size = atol(value);
		else if (KEY("seconds")) seconds = atof(value);
		else if (KEY("warmup")) warmup = atof(value);
		else if (KEY("count")) count = atoi(value);
		else if (KEY("task")) pingpong = !strcmp(value, "pingpong");
		else if (KEY("encap")) raw = !strcmp(value, "raw");
		else if (KEY("own")) own = value;
		else if (KEY("server")) server = value;
		else if (KEY("port")) peer_port = atoi(value);
	}
	if (conn) {
		usrsctp_init_nothreads(0, queue_packet, NULL);
		usrsctp_register_address(&side_a);
		usrsctp_register_address(&side_b);
	} else {
		if (!raw) {
			/* A port that was free a moment ago. */
			struct sockaddr_in sin = address("127.0.0.1");
			socklen_t len = sizeof sin;
			int fd = socket(AF_INET, SOCK_DGRAM, 0);
			sin.sin_port = 0;
			if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 ||
			    getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
				fail("socket");
			port = ntohs(sin.sin_port);
			close(fd);
		}
		usrsctp_init(port, NULL, NULL);
	}
	usrsctp_sysctl_set_sctp_sendspace(BUFFER);
	usrsctp_sysctl_set_sctp_recvspace(BUFFER);
	usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
	usrsctp_sysctl_set_sctp_blackhole(2);
	if (!strcmp(mode, "server"))
		run_server();
	else if (!strcmp(mode, "client"))
		run_client();
	else if (!strcmp(mode, "core"))
		run_core();
	else if (!strcmp(mode, "setup"))
		run_setup();
	else if (!strcmp(mode, "idle"))
		run_idle();
	else {
		fprintf(stderr, "usrsctp: the mode must be server, client, core, setup or idle\n");
		return 2;
	}
	/* No orderly end: the figures are out. */
	_exit(0);
}
