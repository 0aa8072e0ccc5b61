//! Error numbers of the guest: `errno` of WASI preview 1.
//!
//! Source: the `errno` variant list of the `wasi_snapshot_preview1` witx file; wasi-libc's
//! `<errno.h>` uses the same numbers.

use std::io;

/// One WASI error number; what a guest sees in `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Errno(pub(crate) u16);

macro_rules! errnos {
    ($($name:ident = $num:literal / $host:ident;)*) => {
        impl Errno {
            $(pub(crate) const $name: Errno = Errno($num);)*

            /// The guest's number for a host `errno`; `EIO` for what WASI has no number for.
            pub(crate) fn from_host(errno: i32) -> Errno {
                match errno {
                    $(libc::$host => Errno::$name,)*
                    _ => Errno::IO,
                }
            }

            /// The host's number for a guest error.
            fn to_host(self) -> Option<i32> {
                match self {
                    $(Errno::$name => Some(libc::$host),)*
                    _ => None,
                }
            }

            fn name(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some(stringify!($host)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    TOOBIG = 1 / E2BIG;
    ACCES = 2 / EACCES;
    ADDRINUSE = 3 / EADDRINUSE;
    ADDRNOTAVAIL = 4 / EADDRNOTAVAIL;
    AFNOSUPPORT = 5 / EAFNOSUPPORT;
    AGAIN = 6 / EAGAIN;
    ALREADY = 7 / EALREADY;
    BADF = 8 / EBADF;
    BUSY = 10 / EBUSY;
    CHILD = 12 / ECHILD;
    CONNABORTED = 13 / ECONNABORTED;
    CONNREFUSED = 14 / ECONNREFUSED;
    CONNRESET = 15 / ECONNRESET;
    DEADLK = 16 / EDEADLK;
    DESTADDRREQ = 17 / EDESTADDRREQ;
    DQUOT = 19 / EDQUOT;
    EXIST = 20 / EEXIST;
    FAULT = 21 / EFAULT;
    FBIG = 22 / EFBIG;
    HOSTUNREACH = 23 / EHOSTUNREACH;
    INPROGRESS = 26 / EINPROGRESS;
    INTR = 27 / EINTR;
    INVAL = 28 / EINVAL;
    IO = 29 / EIO;
    ISCONN = 30 / EISCONN;
    ISDIR = 31 / EISDIR;
    LOOP = 32 / ELOOP;
    MFILE = 33 / EMFILE;
    MLINK = 34 / EMLINK;
    MSGSIZE = 35 / EMSGSIZE;
    NAMETOOLONG = 37 / ENAMETOOLONG;
    NETDOWN = 38 / ENETDOWN;
    NETRESET = 39 / ENETRESET;
    NETUNREACH = 40 / ENETUNREACH;
    NFILE = 41 / ENFILE;
    NOBUFS = 42 / ENOBUFS;
    NODEV = 43 / ENODEV;
    NOENT = 44 / ENOENT;
    NOEXEC = 45 / ENOEXEC;
    NOMEM = 48 / ENOMEM;
    NOPROTOOPT = 50 / ENOPROTOOPT;
    NOSPC = 51 / ENOSPC;
    NOSYS = 52 / ENOSYS;
    NOTCONN = 53 / ENOTCONN;
    NOTDIR = 54 / ENOTDIR;
    NOTEMPTY = 55 / ENOTEMPTY;
    NOTSOCK = 57 / ENOTSOCK;
    NOTSUP = 58 / ENOTSUP;
    NXIO = 60 / ENXIO;
    OVERFLOW = 61 / EOVERFLOW;
    PERM = 63 / EPERM;
    PIPE = 64 / EPIPE;
    PROTO = 65 / EPROTO;
    PROTONOSUPPORT = 66 / EPROTONOSUPPORT;
    PROTOTYPE = 67 / EPROTOTYPE;
    RANGE = 68 / ERANGE;
    ROFS = 69 / EROFS;
    SPIPE = 70 / ESPIPE;
    SRCH = 71 / ESRCH;
    TIMEDOUT = 73 / ETIMEDOUT;
    TXTBSY = 74 / ETXTBSY;
    XDEV = 75 / EXDEV;
}

impl Errno {
    /// The calling thread's last host error.
    pub(crate) fn last() -> Errno {
        Errno::from(io::Error::last_os_error())
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::IO, Errno::from_host)
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        match errno.to_host() {
            Some(host) => io::Error::from_raw_os_error(host),
            None => io::Error::other(format!("{errno}")),
        }
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}
