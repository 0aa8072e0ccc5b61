//! Listeners as the guest's poll and accept see them, with sockets of the host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use super::*;
use crate::kernel::readiness::{Target, Watch, wait};
use crate::kernel::socket::Identity;
use crate::kernel::waker::Waker;

const NAME: &str = "/tmp/.s.PGSQL.5432";

fn bound() -> (Listeners, Arc<Listener>) {
    let listeners = Listeners::default();
    let listener = listeners.bind(NAME).unwrap();
    (listeners, listener)
}

fn attach_tcp(listeners: &Listeners) -> (ListenerId, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (listeners.attach(NAME, HostListener::Tcp(socket)).unwrap(), address)
}

/// Whether a poll of the listener finds a connection, within the time or at all.
fn poll(listener: &Arc<Listener>, timeout: Option<Duration>) -> bool {
    let waker = Waker::new().unwrap();
    let mut watches = [Watch::new(Target::Listener(listener.clone()))];
    let woken = wait(&waker, &mut watches, timeout).unwrap();
    assert!(!woken);
    watches[0].revents() != 0
}

fn poll_and_accept(listener: &Arc<Listener>) -> Arc<Connection> {
    assert!(poll(listener, None));
    listener.accept().unwrap()
}

/// What the peer's end gets when this end's is asked to read.
fn read_all(mut client: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

fn write(connection: &Connection, bytes: &[u8]) {
    let socket = connection.as_fd().try_clone_to_owned().unwrap();
    assert_eq!(UnixStream::from(socket).write(bytes).unwrap(), bytes.len());
}

#[test]
fn connections_are_accepted_in_the_order_they_were_made() {
    let (listeners, listener) = bound();
    let clients: Vec<_> = (0..3).map(|_| listeners.connect(NAME, Peer::Program).unwrap()).collect();
    for (number, client) in (0..).zip(clients) {
        write(&poll_and_accept(&listener), &[number]);
        assert_eq!(read_all(client), [number]);
    }
    assert!(!poll(&listener, Some(Duration::ZERO)));
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
}

#[test]
fn a_tcp_client_is_accepted_with_its_addresses() {
    let (listeners, listener) = bound();
    let (_, address) = attach_tcp(&listeners);
    // Not what a poll waits for.
    assert!(!poll(&listener, Some(Duration::ZERO)));
    let client = TcpStream::connect(address).unwrap();
    let connection = poll_and_accept(&listener);
    let client_address = client.local_addr().unwrap();
    assert_eq!(connection.local_address().unwrap(), Address::Inet(address));
    assert_eq!(connection.peer_address().unwrap(), Address::Inet(client_address));
    assert_eq!(connection.identity(), Err(Errno::NOTSUP));
    drop(client);
    assert_eq!(connection.peer_address().unwrap(), Address::Inet(client_address));
}

#[test]
fn a_unix_client_is_known_by_its_user() {
    let (listeners, listener) = bound();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".s.PGSQL.5432");
    let socket = UnixListener::bind(&path).unwrap();
    listeners.attach(NAME, HostListener::Unix(socket)).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let connection = poll_and_accept(&listener);
    let path = path.as_os_str().as_bytes().to_vec();
    assert_eq!(connection.local_address().unwrap(), Address::Unix(path));
    assert_eq!(connection.peer_address().unwrap(), Address::Unix(Vec::new()));
    assert_eq!(connection.identity(), Ok(Identity::SameUser));
}

#[test]
fn only_the_embedding_program_is_taken_for_it() {
    let (listeners, listener) = bound();
    for (peer, identity) in
        [(Peer::Program, Identity::Program), (Peer::Cluster, Identity::SameUser)]
    {
        let _client = listeners.connect(NAME, peer).unwrap();
        assert_eq!(poll_and_accept(&listener).identity(), Ok(identity));
    }
}

#[test]
fn a_listener_attached_during_a_poll_is_polled() {
    let (listeners, listener) = bound();
    let (started, start) = mpsc::channel();
    let poller = std::thread::spawn(move || {
        started.send(()).unwrap();
        poll_and_accept(&listener)
    });
    start.recv().unwrap();
    let (_, address) = attach_tcp(&listeners);
    let client = TcpStream::connect(address).unwrap();
    write(&poller.join().unwrap(), b"served");
    assert_eq!(read_all(client), b"served");
}

#[test]
fn a_detached_listener_refuses_and_its_connections_go_on() {
    let (listeners, listener) = bound();
    let (id, address) = attach_tcp(&listeners);
    let client = TcpStream::connect(address).unwrap();
    let connection = poll_and_accept(&listener);
    // While a poll watches it.
    let poller = std::thread::spawn({
        let listener = listener.clone();
        move || poll_and_accept(&listener)
    });
    listeners.detach(id);
    assert!(TcpStream::connect(address).is_err());
    write(&connection, b"still here");
    drop(connection);
    assert_eq!(read_all(client), b"still here");
    let client = listeners.connect(NAME, Peer::Program).unwrap();
    assert!(poller.join().is_ok());
    drop(client);
}

#[test]
fn disconnecting_ends_the_connections_of_one_listener() {
    let (listeners, listener) = bound();
    let (first, first_address) = attach_tcp(&listeners);
    let (_, second_address) = attach_tcp(&listeners);
    let ended = TcpStream::connect(first_address).unwrap();
    let ended_here = poll_and_accept(&listener);
    let mut kept = TcpStream::connect(second_address).unwrap();
    let kept_here = poll_and_accept(&listener);
    listeners.detach(first);
    listeners.disconnect(first);
    assert_eq!(read_all(ended), b"");
    write(&kept_here, b"ok");
    let mut bytes = [0; 2];
    kept.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ok");
    drop(ended_here);
}

#[test]
fn closed_connections_are_forgotten() {
    let (listeners, listener) = bound();
    let (_, address) = attach_tcp(&listeners);
    for _ in 0..200 {
        let _client = TcpStream::connect(address).unwrap();
        poll_and_accept(&listener);
    }
    assert!(listener.lock().accepted.len() < 50);
}

#[test]
fn a_failing_listener_is_left_alone_and_does_not_end_a_poll() {
    let (listeners, listener) = bound();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let same = HostListener::Tcp(socket.try_clone().unwrap());
    listeners.attach(NAME, HostListener::Tcp(socket)).unwrap();
    same.stop();
    assert!(!poll(&listener, Some(Duration::from_millis(1))));
    assert!(listener.lock().attached[0].paused_until.is_some());
    let _client = listeners.connect(NAME, Peer::Program).unwrap();
    assert!(poll(&listener, None));
}

#[test]
fn a_name_is_free_again_when_its_listener_is_closed() {
    let (listeners, listener) = bound();
    let (_, address) = attach_tcp(&listeners);
    assert_eq!(listeners.bind(NAME).unwrap_err(), Errno::ADDRINUSE);
    drop(listener);
    assert!(!listeners.is_open(NAME));
    assert!(TcpStream::connect(address).is_err());
    assert!(listeners.connect(NAME, Peer::Program).is_err());
    listeners.bind(NAME).unwrap();
}
