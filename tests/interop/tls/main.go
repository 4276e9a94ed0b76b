// A TLS peer of Go's standard library, for tests/interop.
//
//	tls-peer dialer|acceptor|carrier CA CERTIFICATE KEY hybrid|classical
//
// Speaks TLS 1.3 on its standard input, which is a socket. Inside it says how the handshake went,
// in one line, and then sends back what it receives until the other side ends. A carrier is a
// dialer that says this line on its standard error, and carries what is inside from and to its
// standard output, which is a socket as well.
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

// carry copies both ways, until the peer ends or fails.
func carry(peer *tls.Conn, inside net.Conn) {
	go func() {
		_, _ = io.Copy(peer, inside)
		_ = peer.Close()
	}()
	must(io.Copy(inside, peer))
}

func main() {
	role, exchange := os.Args[1], os.Args[5]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(os.Args[2])))
	groups := []tls.CurveID{tls.X25519MLKEM768}
	if exchange == "classical" {
		groups = []tls.CurveID{tls.X25519}
	}
	own := must(tls.LoadX509KeyPair(os.Args[3], os.Args[4]))
	config := &tls.Config{
		Certificates: []tls.Certificate{own},
		// Also to who names other authorities.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &own, nil
		},
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
	if role == "acceptor" {
		peer = tls.Server(conn, config)
	} else {
		peer = tls.Client(conn, config)
	}
	must(0, peer.Handshake())
	state := peer.ConnectionState()
	leaf := state.PeerCertificates[0]
	line := fmt.Sprintf("%s %s %s %v%v\n", tls.VersionName(state.Version), state.CurveID,
		state.NegotiatedProtocol, leaf.DNSNames, leaf.URIs)
	if role == "carrier" {
		fmt.Fprint(os.Stderr, line)
		carry(peer, must(net.FileConn(os.Stdout)))
		return
	}
	must(io.WriteString(peer, line))
	must(io.Copy(peer, peer))
	must(0, peer.Close())
}
