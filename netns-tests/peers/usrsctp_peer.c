/* usrsctp as a peer: cc -O2 -o usrsctp_peer usrsctp_peer.c -lusrsctp -lpthread */
#include "peer.h"
#include <usrsctp.h>

static struct socket *listening, *association;

static void set(struct socket *so, int level, int option, const void *value, socklen_t len,
                const char *name)
{
	if (usrsctp_setsockopt(so, level, option, value, len) < 0)
		fail(name);
}

static void peer_init(void)
{
	int off = setup.extensions && !strcmp(setup.extensions, "off");
	usrsctp_init(setup.raw ? 0 : setup.udp, NULL, NULL);
	usrsctp_sysctl_set_sctp_no_csum_on_loopback(0);
	usrsctp_sysctl_set_sctp_ecn_enable(!off);
	if (off) {
		usrsctp_sysctl_set_sctp_asconf_enable(0);
		usrsctp_sysctl_set_sctp_auto_asconf(0);
		usrsctp_sysctl_set_sctp_auth_enable(0);
		usrsctp_sysctl_set_sctp_pr_enable(0);
		usrsctp_sysctl_set_sctp_reconfig_enable(0);
		usrsctp_sysctl_set_sctp_nrsack_enable(0);
		usrsctp_sysctl_set_sctp_pktdrop_enable(0);
	} else if (setup.extensions) {
		usrsctp_sysctl_set_sctp_nrsack_enable(1);
		usrsctp_sysctl_set_sctp_pktdrop_enable(1);
	}
}

static struct socket *open_socket(void)
{
	static const uint16_t events[] = { SCTP_ASSOC_CHANGE, SCTP_SHUTDOWN_EVENT };
	int buffer = setup.window ? setup.window : MOST, on = 1;
	struct sctp_initmsg init = { .sinit_num_ostreams = setup.streams, .sinit_max_instreams = 2048 };
	struct sctp_rtoinfo rto = { .srto_initial = 500, .srto_max = 1000, .srto_min = 300 };
	char addrs[MAX_ADDRS * sizeof(struct sockaddr_in6)];
	struct socket *so = usrsctp_socket(setup.family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!so)
		fail("usrsctp_socket");
	set(so, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer, "SO_SNDBUF");
	set(so, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer, "SO_RCVBUF");
	set(so, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on, "SCTP_NODELAY");
	set(so, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on, "SCTP_RECVRCVINFO");
	set(so, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init, "SCTP_INITMSG");
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		struct sctp_event event = { .se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = events[i], .se_on = 1 };
		set(so, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof event, "SCTP_EVENT");
	}
	if (setup.fast) {
		struct sctp_paddrparams path = {
			.spp_flags = SPP_HB_ENABLE, .spp_hbinterval = 500, .spp_pathmaxrxt = 1
		};
		path.spp_address.ss_family = setup.family;
		set(so, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof rto, "SCTP_RTOINFO");
		set(so, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path, "SCTP_PEER_ADDR_PARAMS");
	}
	if (!setup.raw) {
		struct sctp_udpencaps encaps = { .sue_port = htons(setup.peer_udp) };
		encaps.sue_address.ss_family = setup.family;
		set(so, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps,
		    "SCTP_REMOTE_UDP_ENCAPS_PORT");
	}
	pack(&setup.own, setup.port, addrs);
	if (usrsctp_bindx(so, (struct sockaddr *)addrs, setup.own.count, SCTP_BINDX_ADD_ADDR) < 0)
		fail("usrsctp_bindx");
	return so;
}

static void peer_listen(void)
{
	listening = open_socket();
	if (usrsctp_listen(listening, 5) < 0)
		fail("usrsctp_listen");
}

static void peer_accept(void)
{
	if (!(association = usrsctp_accept(listening, NULL, NULL)))
		fail("usrsctp_accept");
}

static void peer_connect(void)
{
	char addrs[MAX_ADDRS * sizeof(struct sockaddr_in6)];
	struct sockaddr *first = (struct sockaddr *)addrs;
	sctp_assoc_t id;
	association = open_socket();
	pack(&setup.peer, setup.peer_port, addrs);
	if (setup.peer.count > 1
	        ? usrsctp_connectx(association, first, setup.peer.count, &id) < 0
	        : usrsctp_connect(association, first, addr_len(&setup.peer.all[0])) < 0)
		fail("usrsctp_connect");
}

static int peer_send(uint16_t stream, uint32_t ppid, int unordered, const void *data, size_t len)
{
	struct sctp_sndinfo info = {
		.snd_sid = stream, .snd_ppid = htonl(ppid), .snd_flags = unordered ? SCTP_UNORDERED : 0
	};
	ssize_t sent = usrsctp_sendv(association, data, len, NULL, 0, &info, sizeof info,
	                             SCTP_SENDV_SNDINFO, 0);
	return sent < 0 ? -1 : 0;
}

static enum event peer_receive(void *buffer, size_t room, struct piece *piece)
{
	for (;;) {
		struct sockaddr_storage from;
		struct sctp_rcvinfo info;
		socklen_t from_len = sizeof from, info_len = sizeof info;
		unsigned type = 0;
		int flags = 0;
		ssize_t n = usrsctp_recvv(association, buffer, room, (struct sockaddr *)&from, &from_len,
		                          &info, &info_len, &type, &flags);
		if (n < 0)
			return LOST;
		if (n == 0)
			return GRACEFUL;
		if (flags & MSG_NOTIFICATION) {
			const union { uint16_t type; struct sctp_assoc_change change; } *told = buffer;
			if (told->type == SCTP_SHUTDOWN_EVENT)
				return GRACEFUL;
			if (told->type == SCTP_ASSOC_CHANGE && told->change.sac_state == SCTP_RESTART)
				return RESTARTED;
			if (told->type == SCTP_ASSOC_CHANGE && told->change.sac_state == SCTP_COMM_LOST)
				return LOST;
			if (told->type == SCTP_ASSOC_CHANGE && told->change.sac_state == SCTP_SHUTDOWN_COMP)
				return GRACEFUL;
			continue;
		}
		if (type != SCTP_RECVV_RCVINFO)
			wrong("a message without information");
		piece->len = n;
		piece->stream = info.rcv_sid;
		piece->ppid = ntohl(info.rcv_ppid);
		piece->unordered = (info.rcv_flags & SCTP_UNORDERED) != 0;
		piece->last = (flags & MSG_EOR) != 0;
		return DATA;
	}
}

static void peer_shutdown(void)
{
	if (usrsctp_shutdown(association, SHUT_WR) < 0)
		fail("usrsctp_shutdown");
}

static void peer_abort(void)
{
	struct sctp_sndinfo info = { .snd_flags = SCTP_ABORT };
	if (usrsctp_sendv(association, "enough", 6, NULL, 0, &info, sizeof info,
	                  SCTP_SENDV_SNDINFO, 0) < 0)
		fail("SCTP_ABORT");
}

static int peer_gone(void)
{
	struct sctp_status status;
	socklen_t len = sizeof status;
	memset(&status, 0, sizeof status);
	return usrsctp_getsockopt(association, IPPROTO_SCTP, SCTP_STATUS, &status, &len) < 0 ||
	       status.sstat_state == SCTP_CLOSED;
}

int main(int argc, char **argv)
{
	return run(argc, argv);
}
