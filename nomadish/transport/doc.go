// Package transport carries requests between the agents of a cluster, and from users to them.
//
// Agents talk HTTP/1.1 on the streams of one connection per peer, a [Session], on which
// either side may open streams: [Client] makes requests over a session, [Server] answers
// those that come in on listeners and sessions alike. [Forward] passes a whole request on.
// [InProcess] does without any connection.
package transport
