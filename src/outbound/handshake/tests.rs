//! Proxies that say what real ones seldom do: whose failure it is taken for.

use super::*;

/// What a proxy that answers with `answer` comes to, and what it was told.
async fn said(url: &str, target: Target, answer: &[u8]) -> (Result<(), Refusal>, Vec<u8>) {
    let proxy = Proxy::parse(url).expect("a proxy");
    let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
    theirs.write_all(answer).await.expect("written");
    theirs.shutdown().await.expect("closed");
    let outcome = async {
        greet(&proxy, &mut ours).await?;
        connect(&proxy, &target, &mut ours).await
    }
    .await;
    let mut rest = Vec::new();
    if outcome.is_ok() {
        ours.read_to_end(&mut rest).await.expect("read");
        assert_eq!(rest, b"rest", "bytes behind the answer are the receiver's");
    }
    drop(ours);
    let mut told = Vec::new();
    theirs.read_to_end(&mut told).await.expect("read");
    (outcome, told)
}

fn address() -> Target {
    Target::Address("203.0.113.9:443".parse().expect("an address"))
}

#[tokio::test]
async fn an_http_proxy_is_told_the_address_or_the_name_and_who_asks() {
    let ok = b"HTTP/1.0 200 Connection established\r\nX: y\r\n\r\nrest";
    let (outcome, told) = said("http://p.example", address(), ok).await;
    outcome.expect("connected");
    assert_eq!(String::from_utf8_lossy(&told), "CONNECT 203.0.113.9:443 HTTP/1.1\r\nHost: 203.0.113.9:443\r\n\r\n");
    let (outcome, told) = said("http://us%40r:pw@p.example", Target::Name("a.example".to_owned(), 8443), ok).await;
    outcome.expect("connected");
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.starts_with("CONNECT a.example:8443 HTTP/1.1\r\n"), "{told}");
    assert!(told.contains("\r\nProxy-Authorization: Basic dXNAcjpwdw==\r\n"), "{told}");
    let six = Target::Address("[2001:db8::1]:443".parse().expect("an address"));
    let (_, told) = said("http://p.example", six, ok).await;
    assert!(told.starts_with(b"CONNECT [2001:db8::1]:443 "), "{told:?}");
}

#[tokio::test]
async fn a_socks_proxy_is_told_the_address_or_the_name_and_who_asks() {
    let ok = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34rest";
    let (outcome, told) = said("socks5://p.example", address(), ok).await;
    outcome.expect("connected");
    assert_eq!(told, b"\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x09\x01\xbb");
    let known = b"\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x12\x34rest";
    let (outcome, told) = said("socks5://u:pw@p.example", Target::Name("a.example".to_owned(), 80), known).await;
    outcome.expect("connected");
    assert_eq!(told, b"\x05\x02\x00\x02\x01\x01u\x02pw\x05\x01\x00\x03\x09a.example\x00\x50");
}

#[tokio::test]
async fn what_a_proxy_says_of_us_is_told_apart_from_what_it_says_of_the_receiver() {
    let http = |status: &str| format!("HTTP/1.1 {status}\r\n\r\n").into_bytes();
    let socks = |reply: u8| vec![5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    let no_end = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; HEAD_BYTES_MAX]].concat();
    let ours = [
        ("http://p", http("407 Proxy Authentication Required"), "wants a user and password (407)"),
        ("http://u:pw@p", http("407 Proxy Authentication Required"), "does not take the user and password (407)"),
        ("http://p", http("403 Filtered"), "refuses CONNECT to 203.0.113.9:443 with 403"),
        ("http://p", http("302 Found"), "with 302"),
        ("http://p", b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), "what is no HTTP"),
        ("http://p", no_end, "more than 8192 bytes"),
        ("socks5://p", vec![5, 0xff], "wants a user and a password"),
        ("socks5://u:pw@p", vec![5, 2, 1, 1], "does not take the user and the password"),
        ("socks5://p", vec![5, 1], "not supported"),
        ("socks5://p", b"HTTP/1.1 400".to_vec(), "does not speak SOCKS5"),
        ("socks5://p", socks(2), "does not allow"),
        ("socks5://p", socks(7), "SOCKS5 reply 7"),
    ];
    for (proxy, answer, words) in ours {
        match said(proxy, address(), &answer).await.0 {
            Err(Refusal::OurSide(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    let receivers = [
        ("http://p", http("502 Bad Gateway"), "502"),
        ("http://p", http("500 Unable to connect"), "500"),
        ("http://p", http("404 Not Found"), "404"),
        ("socks5://p", socks(1), "it failed"),
        ("socks5://p", socks(4), "host is unreachable"),
        ("socks5://p", socks(5), "connection was refused"),
    ];
    for (proxy, answer, words) in receivers {
        match said(proxy, address(), &answer).await.0 {
            Err(Refusal::Receiver(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    for (proxy, answer) in [("http://p", b"HTTP/1.1 200".as_slice()), ("socks5://p", &[5, 0, 5, 0, 0, 3, 200, 1])] {
        let broken = said(proxy, address(), answer).await.0;
        assert!(matches!(broken, Err(Refusal::Broken(_))), "{broken:?}");
    }
}
