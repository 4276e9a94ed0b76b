// A TLS peer of Go's standard library, for tests/interop/tls_peer_test.cc.
//
//	tls-peer dialer|acceptor CA CERTIFICATE KEY hybrid|classical
//
// Speaks TLS 1.3 on its standard input, which is a socket. Inside it says how the handshake went,
// in one line, and then sends back what it receives until the other side ends.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "tls-peer:", err)
		os.Exit(1)
	}
	return value
}

func main() {
	role, exchange := os.Args[1], os.Args[5]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(os.Args[2])))
	groups := []tls.CurveID{tls.X25519MLKEM768}
	if exchange == "classical" {
		groups = []tls.CurveID{tls.X25519}
	}
	config := &tls.Config{
		Certificates:     []tls.Certificate{must(tls.LoadX509KeyPair(os.Args[3], os.Args[4]))},
		RootCAs:          roots,
		ClientCAs:        roots,
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ServerName:       "localhost",
		NextProtos:       []string{"valkyrie/2"},
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: groups,
	}
	conn := must(net.FileConn(os.Stdin))
	var peer *tls.Conn
	if role == "dialer" {
		peer = tls.Client(conn, config)
	} else {
		peer = tls.Server(conn, config)
	}
	must(0, peer.Handshake())
	state := peer.ConnectionState()
	leaf := state.PeerCertificates[0]
	fmt.Fprintf(peer, "%s %s %s %v%v\n", tls.VersionName(state.Version), state.CurveID,
		state.NegotiatedProtocol, leaf.DNSNames, leaf.URIs)
	must(io.Copy(peer, peer))
	must(0, peer.Close())
}
