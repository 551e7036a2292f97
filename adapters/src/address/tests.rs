use futures::future::BoxFuture;

use super::*;

fn addresses(allowed: &[&str]) -> Addresses {
    let allowed: Vec<AllowedAddress> = allowed.iter().map(|one| one.parse().unwrap()).collect();
    Addresses::new(allowed, Duration::from_mins(1), Duration::from_secs(5))
}

async fn pin(allowed: &[&str], address: &str) -> Result<SocketAddr, FaultCode> {
    let pinned = addresses(allowed).pin(&address.parse().unwrap()).await;
    pinned
        .map(|addresses| addresses[0])
        .map_err(|fault| fault.code)
}

/// An order may name any address; only what the operator listed is called, on the ports that he listed.
#[tokio::test]
async fn only_listed_addresses_are_called() {
    let not_allowed = Err(FaultCode::AddressNotAllowed);
    let allowed = [
        "10.1.0.0/16",
        "192.0.2.7:6081",
        "[2001:db8::]:80",
        "2001:db8:1::/48",
    ];
    for inside in [
        "10.1.2.3:80",
        "192.0.2.7:6081",
        "[2001:db8::]:80",
        "[2001:db8:1::9]:1",
    ] {
        assert_eq!(pin(&allowed, inside).await, Ok(inside.parse().unwrap()));
    }
    for outside in [
        "10.2.0.1:80",
        "192.0.2.7:22",
        "127.0.0.1:6081",
        "169.254.169.254:80",
        "[::1]:80",
        "[2001:db8::]:81",
    ] {
        assert_eq!(pin(&allowed, outside).await, not_allowed, "{outside}");
    }
}

/// A v4 address in v6 clothes is still that v4 address.
#[tokio::test]
async fn a_mapped_address_is_judged_as_what_it_is() {
    assert_eq!(
        pin(&["::/0"], "[::ffff:10.0.0.1]:80").await,
        Err(FaultCode::AddressNotAllowed)
    );
    let pinned = pin(&["10.0.0.0/8"], "[::ffff:10.0.0.1]:80").await;
    assert_eq!(pinned, Ok("10.0.0.1:80".parse().unwrap()));
}

/// Whoever controls a name's DNS must not lead the adapter into its own network.
#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    assert_eq!(
        pin(&["10.0.0.0/8"], "localhost:80").await,
        Err(FaultCode::AddressNotAllowed)
    );
    assert!(pin(&["127.0.0.0/8", "::1"], "localhost:80").await.is_ok());
    assert_eq!(
        pin(&["localhost:81"], "localhost:80").await,
        Err(FaultCode::AddressNotAllowed)
    );
}

/// A name in the list is the operator's word for a public server, or for one in the private networks that he lists.
#[tokio::test]
async fn a_listed_name_leads_into_listed_networks_only() {
    let name: ServerAddress = "localhost:80".parse().unwrap();
    let reach = |private: &[&str]| Reach {
        private: private.iter().map(|net| net.parse().unwrap()).collect(),
        ..Reach::from(vec!["localhost".parse().unwrap()])
    };
    let times = (Duration::from_mins(1), Duration::from_secs(5));
    let pinned = Addresses::new(reach(&[]), times.0, times.1)
        .pin(&name)
        .await;
    assert_eq!(pinned.unwrap_err().code, FaultCode::AddressNotAllowed);
    let listed = reach(&["127.0.0.0/8", "::1/128"]);
    let pinned = Addresses::new(listed, times.0, times.1).pin(&name).await;
    assert!(pinned.is_ok());
}

/// Who lists the whole world does not list this machine, its neighbours, or the metadata of its cloud, however spelt.
#[tokio::test]
async fn a_wide_entry_does_not_reach_special_addresses() {
    let everything = ["0.0.0.0/0", "::/0"];
    assert!(pin(&everything, "1.1.1.1:80").await.is_ok());
    assert!(pin(&everything, "[2a00:1450:4001::1]:80").await.is_ok());
    for address in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "100.64.0.1:80",
        "169.254.169.254:80",
        "192.0.0.170:80",
        "198.18.0.1:80",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[::1]:80",
        "[::127.0.0.1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:a9fe:a9fe]:80",
        "[::ffff:0:127.0.0.1]:80",
        "[64:ff9b::169.254.169.254]:80",
        "[64:ff9b:1::1]:80",
        "[2001:0:7f00:1::1]:80",
        "[2002:7f00:1::]:80",
        "[2a00::5efe:127.0.0.1]:80",
        "[fe80::1]:80",
        "[fec0::1]:80",
        "[fd00::1]:80",
        "[ff02::1]:80",
    ] {
        let pinned = pin(&everything, address).await;
        assert_eq!(pinned, Err(FaultCode::AddressNotAllowed), "{address}");
    }
}

/// What C libraries read as an address and nobody else does: octal, hexadecimal, one number, parts left out.
#[tokio::test]
async fn an_address_in_other_spellings_is_no_name() {
    let lookup = Arc::new(Script::new(&["1.1.1.1"]));
    let addresses = scripted(&lookup, &["0.0.0.0/0", "127.0.0.0/8"]);
    for host in ["0x7f000001", "0x7f.0x1", "a.0x7f"] {
        let address: ServerAddress = format!("{host}:80").parse().unwrap();
        let fault = addresses.pin(&address).await.unwrap_err();
        assert_eq!(fault.code, FaultCode::AddressNotAllowed, "{host}");
    }
    assert_eq!(lookup.asked(), 0, "nobody was asked for a number");
    for host in [
        "0177.0.0.1",
        "2130706433",
        "127.1",
        "017700000001",
        "0x7f.1",
    ] {
        let address = format!("{host}:80").parse::<ServerAddress>();
        assert!(address.is_err(), "{host}");
    }
}

/// Whoever controls the DNS of a name answers the check with one address and the connection with another. Here there is one
/// answer for both, and the next one is checked too.
#[tokio::test]
async fn a_name_that_is_rebound_leads_nowhere() {
    let lookup = Arc::new(Script::new(&["1.1.1.1", "127.0.0.1", "169.254.169.254"]));
    let addresses = scripted(&lookup, &["rebound.example", "0.0.0.0/0"]);
    let name: ServerAddress = "rebound.example:80".parse().unwrap();
    let first = addresses.pin(&name).await.unwrap();
    assert_eq!(first, ["1.1.1.1:80".parse().unwrap()]);
    assert_eq!(addresses.pin(&name).await.unwrap(), first);
    assert_eq!(lookup.asked(), 1, "it is remembered");
    for _ in 0..2 {
        addresses.names.lock().unwrap().clear();
        let fault = addresses.pin(&name).await.unwrap_err();
        assert_eq!(fault.code, FaultCode::AddressNotAllowed);
    }
    assert_eq!(lookup.asked(), 3);
}

/// Ports are on a list, unless an entry names its own.
#[tokio::test]
async fn a_port_is_on_the_list() {
    let ports = ["443".to_owned(), "8000-8999".to_owned()];
    let ports = ports.map(|ports| Ports::try_from(ports).unwrap());
    let allowed = ["10.0.0.0/8", "192.0.2.7:22"].map(|entry| entry.parse().unwrap());
    let reach = Reach {
        ports: ports.to_vec(),
        ..Reach::from(allowed.to_vec())
    };
    let limit = Duration::from_secs(5);
    let addresses = Addresses::new(reach, limit, limit);
    for (address, allowed) in [
        ("10.0.0.1:443", true),
        ("10.0.0.1:8080", true),
        ("10.0.0.1:6379", false),
        ("192.0.2.7:22", true),
        ("192.0.2.7:443", false),
    ] {
        let pinned = addresses.pin(&address.parse().unwrap()).await;
        assert_eq!(pinned.is_ok(), allowed, "{address}");
    }
    for wrong in ["", "0", "a", "9-8", "1-99999", "1-2-3"] {
        assert!(Ports::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

fn scripted(lookup: &Arc<Script>, allowed: &[&str]) -> Addresses {
    let allowed: Vec<AllowedAddress> = allowed.iter().map(|one| one.parse().unwrap()).collect();
    let (lifetime, limit) = (Duration::from_mins(1), Duration::from_secs(5));
    Addresses::with(Arc::<Script>::clone(lookup), allowed, lifetime, limit)
}

/// Answers with one address after the other.
#[derive(Debug)]
struct Script {
    answers: Vec<IpAddr>,
    asked: Mutex<usize>,
}

impl Script {
    fn new(answers: &[&str]) -> Self {
        Self {
            answers: answers.iter().map(|one| one.parse().unwrap()).collect(),
            asked: Mutex::new(0),
        }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl Lookup for Script {
    fn addresses<'a>(
        &'a self,
        _: &'a str,
        port: u16,
    ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        let mut asked = self.asked.lock().unwrap();
        let answer = self.answers[*asked % self.answers.len()];
        *asked += 1;
        Box::pin(std::future::ready(Ok(vec![SocketAddr::new(answer, port)])))
    }
}

/// A name that is gone is a reason to try again, not a verdict.
#[tokio::test]
async fn a_name_that_does_not_resolve_is_tried_again() {
    let addresses = addresses(&["10.0.0.0/8"]);
    let fault = addresses
        .pin(&"no-such-name.invalid:80".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (fault.code, fault.again),
        (FaultCode::Unreachable, Again::Soon)
    );
}

/// One dead address of a name does not cost every call the time to find that out.
#[tokio::test]
async fn an_address_that_took_no_connection_is_tried_last() {
    let addresses = addresses(&["127.0.0.0/8"]);
    let name: ServerAddress = "cache.example:80".parse().unwrap();
    let all = ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"];
    let all = all.map(|address| address.parse().unwrap());
    addresses.remember(&name, all.to_vec());
    addresses.put_last(&name, all[0]);
    assert_eq!(addresses.pin(&name).await, Ok(vec![all[1], all[2], all[0]]));
}

/// What a list may hold.
#[test]
fn an_entry_is_a_network_an_address_or_a_name() {
    for wrong in [
        "",
        "a b",
        "10.0.0.0/33",
        "10.0.0.0/8:80",
        "http://a",
        "a:b",
        "a:99999",
        "*",
    ] {
        assert!(wrong.parse::<AllowedAddress>().is_err(), "{wrong}");
    }
}
