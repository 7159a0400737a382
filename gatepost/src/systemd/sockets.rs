//! Listening sockets that systemd hands over (`sd_listen_fds(3)`): connections wait in them while the process restarts.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail};
use listenfd::ListenFd;

use crate::config::Config;

/// First file descriptor that is handed over.
const FIRST_DESCRIPTOR: usize = 3;

/// Sockets as they were handed over.
#[derive(Debug, Default)]
pub(crate) struct InheritedSockets(Vec<InheritedSocket>);

#[derive(Debug)]
struct InheritedSocket {
    descriptor: usize,
    /// `FileDescriptorName=`, by default the name of the socket unit.
    name: String,
    address: SocketAddr,
    socket: TcpListener,
}

/// Part of a process that listens. Every process has an operations server as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Gateway,
    ControlPlane,
}

/// What a socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Ops,
    Admin,
    /// The listener of this name.
    Gateway(String),
}

/// Sockets of the listeners that were handed one.
#[derive(Debug, Default)]
pub(crate) struct ListenerSockets(HashMap<Place, TcpListener>);

/// A listener that a process will have.
struct Candidate {
    place: Place,
    address: SocketAddr,
}

impl Place {
    /// Returns the name of a socket for it.
    fn name(&self) -> &str {
        match self {
            Place::Ops => "ops",
            Place::Admin => "admin",
            Place::Gateway(name) => name,
        }
    }
}

impl InheritedSockets {
    /// Takes the sockets that the environment announces for this process, and removes `LISTEN_FDS` and `LISTEN_PID`
    /// from it. To be called while the process has one thread.
    ///
    /// # Errors
    /// If one of them is not a TCP socket.
    #[expect(clippy::disallowed_methods, reason = "systemd names the sockets in the environment")]
    pub(crate) fn take() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(descriptors.len());
        for index in 0..descriptors.len() {
            let (descriptor, name) = (FIRST_DESCRIPTOR + index, names.next().unwrap_or_default().to_owned());
            let what = || format!("file descriptor {descriptor} ({name:?}) from systemd is no listening TCP socket");
            let socket = descriptors.take_tcp_listener(index).with_context(what)?.with_context(what)?;
            let address = socket.local_addr().with_context(what)?;
            sockets.push(InheritedSocket { descriptor, name, address, socket });
        }
        Ok(Self(sockets))
    }

    /// Gives each socket to the listener that has its name, or else its address.
    ///
    /// # Errors
    /// If a socket fits no listener or several, or is open to a network although the listener is not.
    pub(crate) fn assign(self, config: &Config, parts: &[Part]) -> anyhow::Result<ListenerSockets> {
        let candidates = candidates(config, parts);
        let mut assigned = HashMap::new();
        for socket in self.0 {
            let candidate = find(&socket, &candidates)?;
            check_network(&socket, candidate)?;
            if assigned.contains_key(&candidate.place) {
                bail!("{} is one of several for the listener {:?}", describe(&socket), candidate.place.name());
            }
            assigned.insert(candidate.place.clone(), socket.socket);
        }
        Ok(ListenerSockets(assigned))
    }
}

impl ListenerSockets {
    /// Takes the socket of a listener, if it was handed one.
    pub(crate) fn take(&mut self, place: &Place) -> Option<TcpListener> {
        self.0.remove(place)
    }
}

fn candidates(config: &Config, parts: &[Part]) -> Vec<Candidate> {
    let mut candidates = vec![Candidate { place: Place::Ops, address: config.ops.listen }];
    if parts.contains(&Part::ControlPlane) {
        candidates.push(Candidate { place: Place::Admin, address: config.control_plane.listen });
    }
    if parts.contains(&Part::Gateway) {
        candidates.extend(config.gateway.listeners.iter().map(|listener| Candidate {
            place: Place::Gateway(listener.options.name.clone()),
            address: listener.options.address,
        }));
    }
    candidates
}

fn find<'a>(socket: &InheritedSocket, candidates: &'a [Candidate]) -> anyhow::Result<&'a Candidate> {
    let named: Vec<&Candidate> = candidates.iter().filter(|one| one.place.name() == socket.name).collect();
    let at_address = candidates.iter().filter(|one| one.address == socket.address);
    let fitting = if named.is_empty() { at_address.collect() } else { named };
    let known = || {
        let known = candidates.iter().map(|one| format!("{} ({})", one.place.name(), one.address));
        known.collect::<Vec<_>>().join(", ")
    };
    match fitting[..] {
        [one] => Ok(one),
        [] => bail!(
            "{} fits no listener of this process: give it the address of one (ListenStream=) or its name \
             (FileDescriptorName=); there are {}",
            describe(socket),
            known()
        ),
        [..] => bail!("{} fits several listeners of this process: {}", describe(socket), known()),
    }
}

/// A socket on all interfaces must not undo what the configuration checks of an address on loopback.
fn check_network(socket: &InheritedSocket, candidate: &Candidate) -> anyhow::Result<()> {
    if candidate.address.ip().is_loopback() && !socket.address.ip().is_loopback() {
        bail!(
            "{} is for the listener {:?}, which is on loopback ({}): configure the address of the socket",
            describe(socket),
            candidate.place.name(),
            candidate.address
        );
    }
    Ok(())
}

fn describe(socket: &InheritedSocket) -> String {
    let InheritedSocket { descriptor, name, address, .. } = socket;
    format!("file descriptor {descriptor} from systemd, named {name:?}, on {address},")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn config() -> Config {
        let text = "[[gateway.listener]]\nname = \"public\"\naddress = \"0.0.0.0:8443\"\n\
                    [[gateway.listener]]\nname = \"inside\"\naddress = \"127.0.0.1:8080\"\n\
                    [gateway.upstream.app]\nservers = [\"127.0.0.1:3000\"]\n";
        parse("gatepost.toml", text, std::iter::empty(), &Overrides::default(), &crate::config::read_file).unwrap()
    }

    /// Returns the places of the sockets with these names and addresses, in order, or the error.
    fn assign(sockets: &[(&str, &str)], parts: &[Part]) -> Result<Vec<String>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inherited = sockets.iter().enumerate().map(|(index, (name, address))| InheritedSocket {
            descriptor: FIRST_DESCRIPTOR + index,
            name: (*name).to_owned(),
            address: address.parse().unwrap(),
            socket: listener.try_clone().unwrap(),
        });
        let assigned = InheritedSockets(inherited.collect()).assign(&config(), parts);
        let names = |sockets: ListenerSockets| {
            let mut names: Vec<String> = sockets.0.keys().map(|place| place.name().to_owned()).collect();
            names.sort_unstable();
            names
        };
        assigned.map(names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_socket_goes_to_the_listener_of_its_name_or_address() {
        let all = [Part::Gateway, Part::ControlPlane];
        for (sockets, places) in [
            (&[][..], &[][..]),
            (&[("public", "[::]:443")], &["public"]),
            (&[("gatepost.socket", "0.0.0.0:8443")], &["public"]),
            (&[("unknown", "0.0.0.0:8443"), ("inside", "127.0.0.1:9")], &["inside", "public"]),
            (&[("a", "127.0.0.1:8080"), ("b", "127.0.0.1:8081"), ("c", "127.0.0.1:9464")], &["admin", "inside", "ops"]),
            (&[("admin", "127.0.0.1:1"), ("ops", "[::1]:2")], &["admin", "ops"]),
        ] {
            assert_eq!(assign(sockets, &all).unwrap(), places, "{sockets:?}");
        }
    }

    #[test]
    fn a_socket_without_its_one_listener_is_an_error() {
        let all = [Part::Gateway, Part::ControlPlane];
        for (sockets, parts, error) in [
            (
                &[("gatepost.socket", "[::]:8443")][..],
                &all[..],
                "named \"gatepost.socket\", on [::]:8443, fits no listener",
            ),
            (&[("admin", "127.0.0.1:8081")], &[Part::Gateway], "there are ops (127.0.0.1:9464), public (0.0.0.0:8443)"),
            (&[("public", "0.0.0.0:1"), ("x", "0.0.0.0:8443")], &all, "one of several for the listener \"public\""),
            (&[("admin", "0.0.0.0:8081")], &all, "for the listener \"admin\", which is on loopback (127.0.0.1:8081)"),
        ] {
            let errors = assign(sockets, parts).unwrap_err();
            assert!(errors.contains(error), "{error:?} is not in {errors:?}");
        }
    }
}
