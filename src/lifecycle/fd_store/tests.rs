//! A socket plays the service manager; the sockets that it is given are real.

use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use socket2::{Domain, Socket};

use super::*;

struct Fake {
    socket: UnixDatagram,
    _home: tempfile::TempDir,
}

impl Fake {
    fn new() -> (Self, Manager) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.as_os_str()).unwrap();
        let fake = Self {
            socket,
            _home: home,
        };
        (fake, manager)
    }

    /// The next message, and how many descriptors came with it; they are leaked.
    fn hears(&self) -> (String, usize) {
        let mut text = [0; 256];
        let mut space = nix::cmsg_space!([i32; AT_ONCE]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let socket = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<()>(socket, &mut parts, Some(&mut space), flags).unwrap();
        let count = got.cmsgs().unwrap().map(|message| {
            let ControlMessageOwned::ScmRights(descriptors) = message else {
                panic!("{message:?}");
            };
            descriptors.len()
        });
        let (count, length) = (count.sum(), got.bytes);
        (String::from_utf8_lossy(&text[..length]).into_owned(), count)
    }
}

fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).unwrap()
}

#[test]
fn the_sockets_of_an_address_are_kept_under_its_name() {
    let (fake, manager) = Fake::new();
    let (one, other) = (listen("127.0.0.1:0"), listen("[::1]:0"));
    let again = one.try_clone().unwrap();
    keep_at(&manager, [&one, &other, &again]);
    for (socket, count) in [(&one, 2), (&other, 1)] {
        let name = name::of(socket.local_addr().unwrap());
        let message = format!("FDSTORE=1\nFDNAME={name}\n");
        assert_eq!(fake.hears(), (message, count));
    }
}

#[test]
fn forgetting_waits_until_the_manager_has_done_it() {
    let (fake, manager) = Fake::new();
    let done = Arc::new(AtomicBool::new(false));
    let names = [
        "127.0.0.1:5672".parse().unwrap(),
        "[::1]:5672".parse().unwrap(),
    ];
    let is_done = Arc::clone(&done);
    let manages = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for _ in 0..2 {
            heard.push(fake.hears().0);
        }
        // With a plain read the kernel drops the descriptor: nobody has it any more.
        std::thread::sleep(Duration::from_millis(200));
        done.store(true, Ordering::SeqCst);
        let mut text = [0; 64];
        let length = fake.socket.recv(&mut text).unwrap();
        heard.push(String::from_utf8_lossy(&text[..length]).into_owned());
        heard
    });
    forget_at(&manager, names.map(name::of));
    assert!(is_done.load(Ordering::SeqCst));
    assert_eq!(
        manages.join().unwrap(),
        [
            "FDSTOREREMOVE=1\nFDNAME=listen-127.0.0.1+5672\n",
            "FDSTOREREMOVE=1\nFDNAME=listen-[++1]+5672\n",
            "BARRIER=1\n"
        ]
    );
}

#[test]
fn only_a_listening_socket_with_the_address_of_its_name_is_recognised() {
    let socket = listen("127.0.0.1:0");
    let address = socket.local_addr().unwrap();
    let copy = || OwnedFd::from(socket.try_clone().unwrap());
    let (known, taken) = recognise(copy(), &name::of(address)).unwrap();
    assert_eq!((known, taken.local_addr().unwrap()), (address, address));

    let refused = |descriptor: OwnedFd, name: &str| recognise(descriptor, name).unwrap_err();
    assert_eq!(refused(copy(), "stored"), "it has no name of ours");
    let elsewhere = name::of("127.0.0.1:1".parse().unwrap());
    assert_eq!(refused(copy(), &elsewhere), "it has another address");
    let any = name::of(([0, 0, 0, 0], address.port()).into());
    assert_eq!(refused(copy(), &any), "it has another address");

    let name = name::of(address);
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(refused(datagrams.into(), &name), "it is no TCP socket");
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(refused(file.into(), &name), "it is no TCP socket");
    let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert_eq!(refused(unbound.into(), &name), "it does not listen");
    let ended = SockRef::from(&socket).shutdown(std::net::Shutdown::Both);
    ended.unwrap();
    assert_eq!(refused(copy(), &name), "it does not listen");
}
