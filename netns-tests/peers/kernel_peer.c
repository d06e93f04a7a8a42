/* Linux' own SCTP as a peer: cc -O2 -static -o kernel_peer kernel_peer.c -lpthread */
#define _GNU_SOURCE
#include "peer.h"
#include <fcntl.h>
#include <linux/sctp.h>

static int listening = -1, association = -1;

static void set(int fd, int level, int option, const void *value, socklen_t len, const char *name)
{
	if (setsockopt(fd, level, option, value, len) < 0)
		fail(name);
}

/* The settings of the kernel's SCTP, which hold for the whole network namespace. */
static void sysctl(const char *name, int value)
{
	char path[100], text[20];
	int fd, len = snprintf(text, sizeof text, "%d\n", value);
	snprintf(path, sizeof path, "/proc/sys/net/sctp/%s", name);
	if ((fd = open(path, O_WRONLY)) < 0 || write(fd, text, len) != len)
		fail(path);
	close(fd);
}

/* Whether "extensions=" switches this setting on. An extension has the name of its setting up to
 * the '_'. */
static int wanted(const char *name)
{
	size_t len = strcspn(name, "_");
	return !strcmp(setup.extensions, "on") ||
	       (strlen(setup.extensions) == len && !strncmp(setup.extensions, name, len));
}

static void peer_init(void)
{
	static const struct { const char *name; int usual; } extensions[] = {
		{ "addip_enable", 0 }, { "auth_enable", 0 }, { "reconf_enable", 0 },
		{ "intl_enable", 0 }, { "prsctp_enable", 1 },
		{ "ecn_enable", 1 },
	};
	sysctl("udp_port", setup.raw ? 0 : setup.udp);
	sysctl("encap_port", setup.raw ? 0 : setup.peer_udp);
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
		sysctl(extensions[i].name, setup.extensions ? wanted(extensions[i].name) : extensions[i].usual);
}

static int open_socket(void)
{
	int buffer = (setup.window ? setup.window : MOST) / 2, on = 1;
	int fd = socket(setup.family, SOCK_STREAM, IPPROTO_SCTP);
	struct sctp_initmsg init = { .sinit_num_ostreams = setup.streams, .sinit_max_instreams = 2048 };
	struct sctp_event_subscribe events = { .sctp_association_event = 1, .sctp_shutdown_event = 1 };
	char addrs[MAX_ADDRS * sizeof(struct sockaddr_in6)];
	if (fd < 0)
		fail("socket");
	/* The kernel doubles this size. */
	set(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer, "SO_SNDBUFFORCE");
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer, "SO_RCVBUFFORCE");
	set(fd, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on, "SCTP_NODELAY");
	set(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on, "SCTP_RECVRCVINFO");
	set(fd, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init, "SCTP_INITMSG");
	set(fd, IPPROTO_SCTP, SCTP_EVENTS, &events, sizeof events, "SCTP_EVENTS");
	if (setup.extensions && wanted("intl_enable")) {
		struct sctp_assoc_value value = { .assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = 1 };
		int interleave = 2;
		set(fd, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &interleave, sizeof interleave,
		    "SCTP_FRAGMENT_INTERLEAVE");
		set(fd, IPPROTO_SCTP, SCTP_INTERLEAVING_SUPPORTED, &value, sizeof value,
		    "SCTP_INTERLEAVING_SUPPORTED");
	}
	if (setup.fast) {
		struct sctp_rtoinfo rto = { .srto_initial = 500, .srto_max = 1000, .srto_min = 300 };
		struct sctp_paddrparams path = {
			.spp_flags = SPP_HB_ENABLE, .spp_hbinterval = 500, .spp_pathmaxrxt = 1
		};
		path.spp_address.ss_family = setup.family;
		set(fd, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof rto, "SCTP_RTOINFO");
		set(fd, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path, "SCTP_PEER_ADDR_PARAMS");
	}
	set(fd, IPPROTO_SCTP, SCTP_SOCKOPT_BINDX_ADD, addrs, pack(&setup.own, setup.port, addrs),
	    "SCTP_SOCKOPT_BINDX_ADD");
	return fd;
}

static void peer_listen(void)
{
	listening = open_socket();
	if (listen(listening, 5) < 0)
		fail("listen");
}

static void peer_accept(void)
{
	if ((association = accept(listening, NULL, NULL)) < 0)
		fail("accept");
}

static void peer_connect(void)
{
	char addrs[MAX_ADDRS * sizeof(struct sockaddr_in6)];
	size_t len = pack(&setup.peer, setup.peer_port, addrs);
	association = open_socket();
	/* On success, the result is the number of the association. */
	if (setsockopt(association, IPPROTO_SCTP, SCTP_SOCKOPT_CONNECTX, addrs, len) < 0)
		fail("SCTP_SOCKOPT_CONNECTX");
}

static int send_info(const struct sctp_sndinfo *info, const void *data, size_t len)
{
	union { char room[CMSG_SPACE(sizeof *info)]; struct cmsghdr align; } control;
	struct iovec iov = { (void *)data, len };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control.room
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	memset(&control, 0, sizeof control);
	cmsg->cmsg_level = IPPROTO_SCTP;
	cmsg->cmsg_type = SCTP_SNDINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof *info);
	memcpy(CMSG_DATA(cmsg), info, sizeof *info);
	return sendmsg(association, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int peer_send(uint16_t stream, uint32_t ppid, int unordered, const void *data, size_t len)
{
	struct sctp_sndinfo info = {
		.snd_sid = stream, .snd_ppid = htonl(ppid), .snd_flags = unordered ? SCTP_UNORDERED : 0
	};
	return send_info(&info, data, len);
}

static enum event peer_receive(void *buffer, size_t room, struct piece *piece)
{
	for (;;) {
		union { char room[200]; struct cmsghdr align; } control;
		struct iovec iov = { buffer, room };
		struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control.room
	};
		struct cmsghdr *cmsg;
		ssize_t n = recvmsg(association, &message, 0);
		if (n < 0)
			return LOST;
		if (n == 0)
			return GRACEFUL;
		if (message.msg_flags & MSG_NOTIFICATION) {
			const union sctp_notification *told = buffer;
			if (told->sn_header.sn_type == SCTP_SHUTDOWN_EVENT)
				return GRACEFUL;
			if (told->sn_header.sn_type != SCTP_ASSOC_CHANGE)
				continue;
			switch (told->sn_assoc_change.sac_state) {
			case SCTP_RESTART: return RESTARTED;
			case SCTP_COMM_LOST: return LOST;
			case SCTP_SHUTDOWN_COMP: return GRACEFUL;
			}
			continue;
		}
		for (cmsg = CMSG_FIRSTHDR(&message); cmsg; cmsg = CMSG_NXTHDR(&message, cmsg)) {
			struct sctp_rcvinfo info;
			if (cmsg->cmsg_level != IPPROTO_SCTP || cmsg->cmsg_type != SCTP_RCVINFO)
				continue;
			memcpy(&info, CMSG_DATA(cmsg), sizeof info);
			piece->len = n;
			piece->stream = info.rcv_sid;
			piece->ppid = ntohl(info.rcv_ppid);
			piece->unordered = (info.rcv_flags & SCTP_UNORDERED) != 0;
			piece->last = (message.msg_flags & MSG_EOR) != 0;
			return DATA;
		}
		wrong("a message without information");
	}
}

static void peer_shutdown(void)
{
	if (shutdown(association, SHUT_WR) < 0)
		fail("shutdown");
}

/* One-to-one sockets do not take SCTP_ABORT, so this closes the socket without lingering. */
static void peer_abort(void)
{
	struct linger hard = { 1, 0 };
	set(association, SOL_SOCKET, SO_LINGER, &hard, sizeof hard, "SO_LINGER");
	close(association);
}

static int peer_gone(void)
{
	struct sctp_status status;
	socklen_t len = sizeof status;
	memset(&status, 0, sizeof status);
	return getsockopt(association, IPPROTO_SCTP, SCTP_STATUS, &status, &len) < 0 ||
	       status.sstat_state == 0;
}

int main(int argc, char **argv)
{
	return run(argc, argv);
}
