//! Addresses of sockets, in the guest's layout and in the host's.

use std::ffi::c_int;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::errno::Errno;

/// wasi-libc's numbers of address families.
pub(crate) mod family {
    pub(crate) const INET: u16 = 1;
    pub(crate) const INET6: u16 = 2;
    pub(crate) const UNIX: u16 = 3;
}

/// The size of wasi-libc's `struct sockaddr_in`, with its padding.
const GUEST_INET: usize = 16;
/// The size of wasi-libc's `struct sockaddr_in6`, with its padding.
pub(crate) const GUEST_INET6: usize = 32;

/// The name of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Inet(SocketAddr),
    /// A path; empty for a socket without a name.
    Unix(Vec<u8>),
}

impl Address {
    /// As the guest's `struct sockaddr`.
    pub(crate) fn to_guest(&self) -> Vec<u8> {
        match self {
            Address::Inet(SocketAddr::V4(address)) => {
                let mut bytes = vec![0; GUEST_INET];
                bytes[0..2].copy_from_slice(&family::INET.to_le_bytes());
                bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
                bytes[4..8].copy_from_slice(&address.ip().octets());
                bytes
            }
            Address::Inet(SocketAddr::V6(address)) => {
                let mut bytes = vec![0; GUEST_INET6];
                bytes[0..2].copy_from_slice(&family::INET6.to_le_bytes());
                bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
                bytes[4..8].copy_from_slice(&address.flowinfo().to_le_bytes());
                bytes[8..24].copy_from_slice(&address.ip().octets());
                bytes[24..28].copy_from_slice(&address.scope_id().to_le_bytes());
                bytes
            }
            Address::Unix(path) => {
                let mut bytes = family::UNIX.to_le_bytes().to_vec();
                if !path.is_empty() {
                    bytes.extend_from_slice(path);
                    bytes.push(0);
                }
                bytes
            }
        }
    }

    /// From the guest's `struct sockaddr`.
    pub(crate) fn from_guest(bytes: &[u8]) -> Result<Address, Errno> {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
            let part = bytes.get(at..at + N).ok_or(Errno::INVAL)?;
            Ok(part.try_into().expect("the range has N bytes"))
        }
        match u16::from_le_bytes(part(bytes, 0)?) {
            family::INET => {
                let port = u16::from_be_bytes(part(bytes, 2)?);
                let ip = Ipv4Addr::from(part::<4>(bytes, 4)?);
                Ok(Address::Inet(SocketAddrV4::new(ip, port).into()))
            }
            family::INET6 => {
                let port = u16::from_be_bytes(part(bytes, 2)?);
                let flow = u32::from_le_bytes(part(bytes, 4)?);
                let ip = Ipv6Addr::from(part::<16>(bytes, 8)?);
                let scope = u32::from_le_bytes(part(bytes, 24)?);
                Ok(Address::Inet(SocketAddrV6::new(ip, port, flow, scope).into()))
            }
            family::UNIX => {
                let path = &bytes[2..];
                let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                Ok(Address::Unix(path[..end].to_vec()))
            }
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// An address of the host's. An IPv4 client of a socket that serves both families is shown with its
    /// IPv4 address: that is what the lines of `pg_hba.conf` are written for.
    pub(crate) fn from_host(address: SocketAddr) -> Address {
        Address::Inet(match address.ip().to_canonical() {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, address.port()).into(),
            IpAddr::V6(_) => address,
        })
    }

    /// The host socket's own address.
    pub(crate) fn of_socket(socket: BorrowedFd<'_>) -> Result<Address, Errno> {
        // SAFETY: getsockname fills at most the length it is given.
        ask(|address, len| unsafe { libc::getsockname(socket.as_raw_fd(), address, len) })
    }

    /// The address of the host socket's peer.
    pub(crate) fn of_peer(socket: BorrowedFd<'_>) -> Result<Address, Errno> {
        // SAFETY: as above.
        ask(|address, len| unsafe { libc::getpeername(socket.as_raw_fd(), address, len) })
    }

    /// `connect(2)` of a host socket.
    pub(crate) fn connect(&self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        // SAFETY: all-zero is a valid address of any family.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let at = std::ptr::from_mut(&mut storage);
        let len = match self {
            Address::Inet(SocketAddr::V4(address)) => {
                // SAFETY: `sockaddr_storage` has room and alignment for every kind of address.
                let inet = unsafe { &mut *at.cast::<libc::sockaddr_in>() };
                inet.sin_family = libc::AF_INET as libc::sa_family_t;
                inet.sin_port = address.port().to_be();
                inet.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                size_of::<libc::sockaddr_in>()
            }
            Address::Inet(SocketAddr::V6(address)) => {
                // SAFETY: as above.
                let inet = unsafe { &mut *at.cast::<libc::sockaddr_in6>() };
                inet.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                inet.sin6_port = address.port().to_be();
                inet.sin6_flowinfo = address.flowinfo();
                inet.sin6_addr.s6_addr = address.ip().octets();
                inet.sin6_scope_id = address.scope_id();
                size_of::<libc::sockaddr_in6>()
            }
            Address::Unix(path) => {
                // SAFETY: as above.
                let unix = unsafe { &mut *at.cast::<libc::sockaddr_un>() };
                // One byte stays for the end.
                if path.is_empty() || path.len() >= unix.sun_path.len() {
                    return Err(if path.is_empty() { Errno::INVAL } else { Errno::NAMETOOLONG });
                }
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                for (to, from) in unix.sun_path.iter_mut().zip(path) {
                    *to = *from as libc::c_char;
                }
                offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1
            }
        };
        // SAFETY: the address lives through the call and has `len` bytes.
        let result =
            unsafe { libc::connect(socket.as_raw_fd(), at.cast(), len as libc::socklen_t) };
        if result == 0 { Ok(()) } else { Err(Errno::last()) }
    }
}

/// Calls `question`, which fills an address and its length.
fn ask(
    question: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> c_int,
) -> Result<Address, Errno> {
    // SAFETY: all-zero is a valid address of any family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let at = std::ptr::from_mut(&mut storage);
    if question(at.cast(), &mut len) != 0 {
        return Err(Errno::last());
    }
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the host says that it is one, and it was zeroed before.
            let inet = unsafe { &*at.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(inet.sin_addr.s_addr.to_ne_bytes());
            Ok(Address::Inet(SocketAddrV4::new(ip, u16::from_be(inet.sin_port)).into()))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let inet = unsafe { &*at.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(inet.sin6_addr.s6_addr);
            let port = u16::from_be(inet.sin6_port);
            let address = SocketAddrV6::new(ip, port, inet.sin6_flowinfo, inet.sin6_scope_id);
            Ok(Address::from_host(address.into()))
        }
        libc::AF_UNIX => {
            // SAFETY: as above.
            let unix = unsafe { &*at.cast::<libc::sockaddr_un>() };
            let room = (len as usize).saturating_sub(offset_of!(libc::sockaddr_un, sun_path));
            let path = unix.sun_path.iter().take(room).map(|byte| *byte as u8);
            Ok(Address::Unix(path.take_while(|byte| *byte != 0).collect()))
        }
        _ => Err(Errno::AFNOSUPPORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_guest_and_back() {
        for address in [
            Address::Inet("127.0.0.1:5432".parse().unwrap()),
            Address::Inet("[fe80::1%3]:65535".parse().unwrap()),
            Address::Unix(b"/tmp/.s.PGSQL.5432".to_vec()),
            Address::Unix(Vec::new()),
        ] {
            assert_eq!(Address::from_guest(&address.to_guest()).unwrap(), address);
        }
    }

    #[test]
    fn addresses_cut_short_are_refused() {
        let inet = Address::Inet("127.0.0.1:5432".parse().unwrap()).to_guest();
        let inet6 = Address::Inet("[::1]:5432".parse().unwrap()).to_guest();
        for bytes in [&inet[..0], &inet[..1], &inet[..7], &inet6[..27]] {
            assert_eq!(Address::from_guest(bytes), Err(Errno::INVAL), "{bytes:?}");
        }
        assert_eq!(Address::from_guest(&[9, 0, 0, 0]), Err(Errno::AFNOSUPPORT));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mapped = "[::ffff:192.0.2.7]:80".parse().unwrap();
        assert_eq!(Address::from_host(mapped), Address::Inet("192.0.2.7:80".parse().unwrap()));
    }
}
