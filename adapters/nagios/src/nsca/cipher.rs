//! How NSCA hides its packets: the methods that are common, as libmcrypt does them in mode CFB-8.
//!
//! None of this proves who sent a packet beyond a checksum inside; in networks that are not one's own it belongs
//! into a tunnel.

use cfb8::Encryptor;
use cfb8::cipher::KeyIvInit;
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes of the initialisation vector that a daemon sends.
pub(super) const IV: usize = 128;

/// Encryption of NSCA: the same as `decryption_method` in nsca.cfg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Method 0: nothing is hidden.
    None,
    /// Method 1: mixed with the password; no secrecy.
    #[default]
    Xor,
    /// Method 2.
    Des,
    /// Method 3: triple DES.
    #[serde(rename = "3des")]
    TripleDes,
    /// Method 4.
    Cast128,
    /// Method 8.
    Blowfish,
    /// Method 9.
    Twofish,
    /// Method 14: AES with a key of 256 bits.
    Rijndael128,
}

/// Encrypts the packets of one connection; its state runs on from packet to packet.
pub(super) enum Cipher {
    None,
    Xor { iv: [u8; IV], password: Vec<u8> },
    Des(Box<Encryptor<des::Des>>),
    TripleDes(Box<Encryptor<des::TdesEde3>>),
    Cast128(Box<Encryptor<cast5::Cast5>>),
    Blowfish(Box<Encryptor<blowfish::Blowfish>>),
    Twofish(Box<Encryptor<twofish::Twofish>>),
    Rijndael128(Box<Encryptor<aes::Aes256>>),
}

impl Cipher {
    /// A cipher keyed by `password`, padded with zeros or cut to the longest key of the method.
    pub(super) fn new(method: Encryption, password: &[u8], iv: &[u8; IV]) -> Self {
        match method {
            Encryption::None => Self::None,
            Encryption::Xor => Self::Xor { iv: *iv, password: password.to_vec() },
            Encryption::Des => Self::Des(block::<_, 8>(password, &iv[..8])),
            Encryption::TripleDes => Self::TripleDes(block::<_, 24>(password, &iv[..8])),
            Encryption::Cast128 => Self::Cast128(block::<_, 16>(password, &iv[..8])),
            Encryption::Blowfish => Self::Blowfish(block::<_, 56>(password, &iv[..8])),
            Encryption::Twofish => Self::Twofish(block::<_, 32>(password, &iv[..16])),
            Encryption::Rijndael128 => Self::Rijndael128(block::<_, 32>(password, &iv[..16])),
        }
    }

    pub(super) fn encrypt(&mut self, packet: &mut [u8]) {
        match self {
            Self::None => {}
            Self::Xor { iv, password } => {
                mix(packet, iv);
                mix(packet, password);
            }
            Self::Des(cipher) => cipher.encrypt(packet),
            Self::TripleDes(cipher) => cipher.encrypt(packet),
            Self::Cast128(cipher) => cipher.encrypt(packet),
            Self::Blowfish(cipher) => cipher.encrypt(packet),
            Self::Twofish(cipher) => cipher.encrypt(packet),
            Self::Rijndael128(cipher) => cipher.encrypt(packet),
        }
    }
}

fn block<E: KeyIvInit, const KEY: usize>(password: &[u8], iv: &[u8]) -> Box<E> {
    let mut key = [0; KEY];
    let n = password.len().min(KEY);
    key[..n].copy_from_slice(&password[..n]);
    Box::new(E::new_from_slices(&key, iv).expect("lengths of key and vector are those of the method"))
}

fn mix(packet: &mut [u8], with: &[u8]) {
    for (byte, other) in packet.iter_mut().zip(with.iter().cycle()) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xor_is_its_own_inverse_and_begins_anew_in_each_packet() {
        let iv = std::array::from_fn(|i| i as u8 + 1);
        let mut cipher = Cipher::new(Encryption::Xor, b"secret", &iv);
        let mut packet = vec![7; 300];
        cipher.encrypt(&mut packet);
        assert_ne!(packet, [7; 300]);
        cipher.encrypt(&mut packet);
        assert_eq!(packet, [7; 300]);
        let mut bare = Cipher::new(Encryption::Xor, b"", &iv);
        bare.encrypt(&mut packet);
        assert_eq!(packet[..2], [7 ^ 1, 7 ^ 2]);
    }

    #[test]
    fn aes_as_in_its_standard() {
        // NIST SP 800-38A, F.3.11: CFB8-AES256.Encrypt; its key has no zero byte that padding could hide.
        let key = [
            0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35,
            0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
        ];
        let iv = std::array::from_fn(|i| i as u8);
        let mut cipher = Cipher::new(Encryption::Rijndael128, &key, &iv);
        let mut text = [0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40];
        // In two pieces: the state runs on.
        let (first, second) = text.split_at_mut(2);
        cipher.encrypt(first);
        cipher.encrypt(second);
        assert_eq!(text, [0xdc, 0x1f, 0x1a, 0x85, 0x20, 0xa6]);
    }

    #[test]
    fn every_method_takes_any_password() {
        use Encryption::{Blowfish, Cast128, Des, Rijndael128, TripleDes, Twofish};
        for method in [Des, TripleDes, Cast128, Blowfish, Twofish, Rijndael128] {
            for password in [&b""[..], b"x", &[b'y'; 100]] {
                let mut packet = [0; 64];
                Cipher::new(method, password, &[3; IV]).encrypt(&mut packet);
                assert_ne!(packet, [0; 64], "{method:?}");
            }
        }
    }
}
