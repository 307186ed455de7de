use super::*;

/// What is refused whatever the settings are.
const NEVER: &[&str] = &[
    "http://0.0.0.0/",
    "http://0/",
    "http://0.1.2.3/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.0.1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://0xa9.254.0xa9.254/",
    "http://169.254.43518/",
    "http://168.63.129.16/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::ffff:0.0.0.0]/",
    "http://[::ffff:0:169.254.169.254]/",
    "http://[::169.254.169.254]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:1:2:3:4:80ff:fffe]/",
    "http://[2001:0:1:2:3:4:f5ff:fffe]/",
    "http://[2001:db8::1]/",
    "http://[3fff:1::1]/",
    "http://[2001:10::1]/",
    "http://[2001:2::1]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[fd00:ec2::254]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[2606:4700::5efe:a00:1]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
    "http://metadata/",
    "http://instance-data/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org:70/",
    "unix:/run/docker.sock",
    "javascript:alert(1)",
    "http://user@example.org/",
    "http://user:password@example.org/",
    "http://:password@example.org/",
    "//example.org/",
    "example.org",
    "",
    "http://",
    "http://[::1",
    "http://999.1.1.1/",
];

/// What is refused unless private targets are allowed.
const PRIVATE: &[&str] = &[
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.255.255.254/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1.:80/",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1:8080/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.1.2.3]/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    "http://localhost/",
    "http://LOCALHOST:9091/",
    "http://localhost./",
    "http://a.localhost/",
    "http://printer.local/",
    "http://db.internal/",
    "http://router.lan/",
    "http://nas.home.arpa/",
];

const PUBLIC: &[&str] = &[
    "https://example.org/hook",
    "http://1.1.1.1/",
    "http://172.15.255.255/",
    "http://172.32.0.1/",
    "http://100.63.255.255/",
    "http://100.128.0.1/",
    "http://192.0.1.1/",
    "http://168.63.129.17/",
    "http://[2606:4700:4700::1111]/",
    "http://[64:ff9b::1.1.1.1]/",
    "http://notlocalhost/",
    "http://localhost.example.org/",
    "https://hooks.slack.com/services/T/B/x",
];

#[test]
fn what_is_never_connected_to() {
    for url in NEVER {
        for allow_private in [false, true] {
            let res = Guard { allow_private }.check_url(url);
            assert!(res.is_err(), "{url}: {res:?}");
        }
    }
}

#[test]
fn what_is_private() {
    for url in PRIVATE {
        let res = Guard { allow_private: false }.check_url(url);
        assert!(
            matches!(res, Err(Refused::Private(..) | Refused::PrivateName(_))),
            "{url}: {res:?}"
        );
        assert!(Guard { allow_private: true }.check_url(url).is_ok(), "{url}");
        let said = res.unwrap_err().to_string();
        assert!(said.contains("OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS=true"), "{said}");
    }
}

#[test]
fn what_is_public() {
    for url in PUBLIC {
        let res = Guard::default().check_url(url);
        assert!(res.is_ok(), "{url}: {res:?}");
    }
}

#[test]
fn one_bad_address_spoils_a_name() {
    let good: SocketAddr = "1.1.1.1:80".parse().unwrap();
    let bad: SocketAddr = "10.0.0.1:80".parse().unwrap();
    assert!(Guard::default().check_all(&[good]).is_ok());
    assert!(Guard::default().check_all(&[good, bad]).is_err());
}
