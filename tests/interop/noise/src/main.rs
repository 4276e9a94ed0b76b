//! Speaks docs/spec/noise.md on its standard input, which is a socket; written from that document
//! alone.
//!
//!     noise-peer dial|accept|carry SUITE STATIC_SECRET [PEER_STATIC [PSK]]
//!
//! SUITE is the number in the preamble; keys are hexadecimal, PEER_STATIC is `-` if none is known.
//! Once the channel is open it sends back every record, and ends at the end of its input. `carry`
//! dials, and then carries what is inside from and to its standard output, which is a socket too.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use hkdf::Hkdf;
use ml_kem::{DecapsulationKey, EncapsulationKey, KeyExport, MlKem768};
use ml_kem::kem::Decapsulate;
use sha2::{Digest, Sha256};

const LABEL: &[u8] = b"valkyrie/2 noise psk3 mlkem768";
const REKEY_RECORDS: u64 = 1 << 20;

type Any<T> = Result<T, Box<dyn Error>>;

fn protocol_name(suite: u8) -> Any<&'static str> {
    Ok(match suite {
        0x01 => "Noise_XX_25519_ChaChaPoly_SHA256",
        0x02 => "Noise_XX_25519_AESGCM_SHA256",
        0x03 => "Noise_XK_25519_ChaChaPoly_SHA256",
        0x04 => "Noise_XK_25519_AESGCM_SHA256",
        0x11 => "Noise_XXpsk3_25519_ChaChaPoly_SHA256",
        0x12 => "Noise_XXpsk3_25519_AESGCM_SHA256",
        0x13 => "Noise_XKpsk3_25519_ChaChaPoly_SHA256",
        0x14 => "Noise_XKpsk3_25519_AESGCM_SHA256",
        _ => return Err(format!("no suite {suite}").into()),
    })
}

fn unhex(text: &str) -> Any<Vec<u8>> {
    let digits: Vec<_> = (0..text.len()).step_by(2).collect();
    digits.iter().map(|&i| Ok(u8::from_str_radix(&text[i..i + 2], 16)?)).collect()
}

fn random<const N: usize>() -> Any<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_exactly(count: usize) -> Any<Vec<u8>> {
    let mut bytes = vec![0; count];
    std::io::stdin().lock().read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_message() -> Any<Vec<u8>> {
    let length = read_exactly(2)?;
    read_exactly(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn write_all(pieces: &[&[u8]]) -> Any<()> {
    let mut wire = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    Ok(wire.write_all(&pieces.concat())?)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn derive_psk(secret: &[u8], key: &[u8], ciphertext: &[u8], provisioned: &[u8]) -> [u8; 32] {
    let info = [LABEL, &Sha256::digest(key), &Sha256::digest(ciphertext)].concat();
    let mut psk = [0; 32];
    Hkdf::<Sha256>::new(Some(provisioned), secret).expand(&info, &mut psk).unwrap();
    psk
}

struct Peer {
    suite: u8,
    secret: Vec<u8>,
    known: Option<Vec<u8>>,
    provisioned: Vec<u8>,
}

impl Peer {
    fn hybrid(&self) -> bool {
        self.suite >= 0x10
    }

    fn builder<'a>(&'a self, prologue: &'a [u8]) -> Any<snow::Builder<'a>> {
        let builder = snow::Builder::new(protocol_name(self.suite)?.parse()?)
            .local_private_key(&self.secret)?
            .prologue(prologue)?;
        Ok(match &self.known {
            Some(key) => builder.remote_public_key(key)?,
            None => builder,
        })
    }

    fn dial(&self) -> Any<snow::HandshakeState> {
        let preamble = [0x56, 0x4E, 1, 1, self.suite];
        let mut noise = self.builder(&preamble)?.build_initiator()?;
        let seed: [u8; 64] = random()?;
        let kem = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        let key = kem.encapsulation_key().to_bytes();
        let offered: &[u8] = if self.hybrid() { &key } else { &[] };
        let mut buffer = vec![0; 65535];
        let size = noise.write_message(offered, &mut buffer)?;
        write_all(&[&preamble, &framed(&buffer[..size])])?;
        if read_exactly(5)? != preamble {
            return Err("the acceptor did not take the suite".into());
        }
        let mut payload = vec![0; 65535];
        let size = noise.read_message(&read_message()?, &mut payload)?;
        if self.hybrid() {
            let ciphertext: [u8; 1088] = payload[..size].try_into()?;
            let secret = kem.decapsulate(&ciphertext.into());
            noise.set_psk(3, &derive_psk(&secret, &key, &ciphertext, &self.provisioned))?;
        }
        let size = noise.write_message(&[], &mut buffer)?;
        write_all(&[&framed(&buffer[..size])])?;
        Ok(noise)
    }

    fn accept(&self) -> Any<snow::HandshakeState> {
        let mut preamble = read_exactly(4)?;
        preamble.extend(read_exactly(usize::from(preamble[3]))?);
        if preamble[..3] != [0x56, 0x4E, 1] || preamble[4] != self.suite {
            return Err("the dialer offers another suite first".into());
        }
        let mut noise = self.builder(&preamble)?.build_responder()?;
        let mut payload = vec![0; 65535];
        let size = noise.read_message(&read_message()?, &mut payload)?;
        let mut buffer = vec![0; 65535];
        let head = [0x56, 0x4E, 1, 1, self.suite];
        if self.hybrid() {
            let offered: [u8; 1184] = payload[..size].try_into()?;
            let key = EncapsulationKey::<MlKem768>::new(&offered.into()).map_err(|_| "bad key")?;
            let (ciphertext, secret) = key.encapsulate_deterministic(&random::<32>()?.into());
            let size = noise.write_message(&ciphertext, &mut buffer)?;
            write_all(&[&head, &framed(&buffer[..size])])?;
            noise.set_psk(3, &derive_psk(&secret, &offered, &ciphertext, &self.provisioned))?;
        } else {
            let size = noise.write_message(&[], &mut buffer)?;
            write_all(&[&head, &framed(&buffer[..size])])?;
        }
        noise.read_message(&read_message()?, &mut payload)?;
        Ok(noise)
    }
}

fn echo(mut channel: snow::TransportState) -> Any<()> {
    let mut text = vec![0; 65535];
    let mut sealed = vec![0; 65535];
    for records in 1.. {
        let Ok(record) = read_message() else { break };
        let size = channel.read_message(&record, &mut text)?;
        let size = channel.write_message(&text[..size], &mut sealed)?;
        write_all(&[&framed(&sealed[..size])])?;
        rekey_after(records, || channel.rekey_incoming());
        rekey_after(records, || channel.rekey_outgoing());
    }
    Ok(())
}

/// Changes the key of a direction when that many records have passed there.
fn rekey_after(records: u64, rekey: impl FnOnce()) {
    if records % REKEY_RECORDS == 0 {
        rekey();
    }
}

fn seal(mut inside: UnixStream, channel: &Mutex<snow::TransportState>) -> Any<()> {
    let mut text = vec![0; 16384];
    let mut sealed = vec![0; 65535];
    for records in 1.. {
        let size = inside.read(&mut text)?;
        if size == 0 {
            break;
        }
        let mut channel = channel.lock().unwrap();
        let size = channel.write_message(&text[..size], &mut sealed)?;
        rekey_after(records, || channel.rekey_outgoing());
        write_all(&[&framed(&sealed[..size])])?;
    }
    Ok(())
}

fn open(mut inside: UnixStream, channel: &Mutex<snow::TransportState>) -> Any<()> {
    let mut text = vec![0; 65535];
    for records in 1.. {
        let Ok(record) = read_message() else { break };
        let mut channel = channel.lock().unwrap();
        let size = channel.read_message(&record, &mut text)?;
        rekey_after(records, || channel.rekey_incoming());
        inside.write_all(&text[..size])?;
    }
    Ok(())
}

fn carry(channel: snow::TransportState) -> Any<()> {
    let inside = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let channel = Arc::new(Mutex::new(channel));
    let (inside_too, channel_too) = (inside.try_clone()?, channel.clone());
    std::thread::spawn(move || {
        if let Err(error) = seal(inside_too, &channel_too) {
            eprintln!("noise-peer: {error}");
        }
    });
    open(inside, &channel)
}

fn main() -> Any<()> {
    let words: Vec<String> = std::env::args().collect();
    let word = |at: usize| words.get(at).map(String::as_str).unwrap_or("");
    let peer = Peer {
        suite: word(2).parse()?,
        secret: unhex(word(3))?,
        known: if word(4).len() == 64 { Some(unhex(word(4))?) } else { None },
        provisioned: unhex(word(5))?,
    };
    match word(1) {
        "dial" => echo(peer.dial()?.into_transport_mode()?),
        "carry" => carry(peer.dial()?.into_transport_mode()?),
        _ => echo(peer.accept()?.into_transport_mode()?),
    }
}
