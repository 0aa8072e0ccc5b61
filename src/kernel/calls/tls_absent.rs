//! The calls on TLS sessions in a program that was built without the feature `tls`.

use super::CallResult;
use crate::kernel::errno::Errno;
use crate::kernel::process::Context;

macro_rules! absent {
    ($($name:ident($($argument:ty),*);)*) => {
        $(pub(super) fn $name(_: &mut Context, $(_: $argument),*) -> CallResult {
            Err(Errno::NOTSUP)
        })*
    };
}

absent! {
    tls_available();
    tls_configure(u32, u32);
    tls_forget();
    tls_accept(i32, u32, u32);
    tls_handshake(i32, u32);
    tls_read(i32, u32, u32, u32, u32);
    tls_write(i32, u32, u32, u32, u32);
    tls_close(i32);
    tls_fact(i32, u32, u32, u32, u32);
    tls_message(u32, u32);
}
