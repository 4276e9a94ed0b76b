//! Dials a node with rustls, for tests/interop/node_test.cc.
//!
//!     rustls-peer carrier CA CERTIFICATE KEY hybrid|classical
//!
//! Speaks TLS 1.3 on its standard input, which is a socket; says on its standard error how the
//! handshake went, in one line, and carries what is inside from and to its standard output, which
//! is a socket as well.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_graviola::kx;

type Any<T> = Result<T, Box<dyn Error>>;

fn config(words: &[String]) -> Any<ClientConfig> {
    let mut provider = rustls_graviola::default_provider();
    provider.kx_groups = match words[5].as_str() {
        "hybrid" => vec![kx::X25519MLKEM768],
        _ => vec![&kx::X25519],
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(&words[2])? {
        roots.add(root?)?;
    }
    let chain = CertificateDer::pem_file_iter(&words[3])?.collect::<Result<_, _>>()?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&words[4])?)?;
    config.alpn_protocols = vec![b"valkyrie/2".to_vec()];
    Ok(config)
}

/// How the handshake went, as the peer in Go says it.
fn line(tls: &ClientConnection) -> Any<String> {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "another version",
    };
    let group = tls.negotiated_key_exchange_group().ok_or("no group")?.name();
    let protocol = std::str::from_utf8(tls.alpn_protocol().unwrap_or_default())?;
    Ok(format!("{version} {group:?} {protocol}"))
}

/// Everything from the inside goes to the peer, sealed.
fn seal(mut inside: UnixStream, mut wire: TcpStream, tls: &Mutex<ClientConnection>) -> Any<()> {
    let mut text = vec![0; 65536];
    loop {
        let size = inside.read(&mut text)?;
        let mut tls = tls.lock().unwrap();
        if size == 0 {
            tls.send_close_notify();
        } else {
            tls.writer().write_all(&text[..size])?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut wire)?;
        }
        if size == 0 {
            return Ok(());
        }
    }
}

/// Everything from the peer goes inside, opened.
fn open(mut inside: UnixStream, mut wire: TcpStream, tls: &Mutex<ClientConnection>) -> Any<()> {
    let mut sealed = vec![0; 65536];
    loop {
        let size = wire.read(&mut sealed)?;
        if size == 0 {
            return Ok(());
        }
        let mut rest = &sealed[..size];
        while !rest.is_empty() {
            let mut tls = tls.lock().unwrap();
            tls.read_tls(&mut rest)?;
            let state = tls.process_new_packets()?;
            let mut text = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut text)?;
            while tls.wants_write() {
                tls.write_tls(&mut wire)?;
            }
            inside.write_all(&text)?;
        }
    }
}

fn main() -> Any<()> {
    let words: Vec<String> = std::env::args().collect();
    let owned = |fd: std::os::fd::BorrowedFd| -> Any<OwnedFd> { Ok(fd.try_clone_to_owned()?) };
    let mut wire = TcpStream::from(owned(std::io::stdin().as_fd())?);
    let inside = UnixStream::from(owned(std::io::stdout().as_fd())?);
    let mut tls =
        ClientConnection::new(Arc::new(config(&words)?), ServerName::try_from("localhost")?)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut wire)?;
    }
    eprintln!("{}", line(&tls)?);
    let tls = Arc::new(Mutex::new(tls));
    let (inside_too, wire_too, tls_too) = (inside.try_clone()?, wire.try_clone()?, tls.clone());
    std::thread::spawn(move || {
        if let Err(error) = seal(inside_too, wire_too, &tls_too) {
            eprintln!("rustls-peer: {error}");
        }
    });
    open(inside, wire, &tls)
}
