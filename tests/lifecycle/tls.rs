//! With a certificate: HTTPS, HTTP/2, RTMPS, and a new certificate by SIGHUP.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::KEY;
use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};
use crate::common::rtmp::RtmpPublisher;
use crate::common::server::PATIENCE;

/// Puts a new pair into the folder, under names that stay.
fn certificate(folder: &Folder) -> CertificateDer<'static> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

async fn serve(folder: &Folder) -> Gateway {
    let settings = [
        ("FOREBAY_TLS_CERT", "cert.pem"),
        ("FOREBAY_TLS_KEY", "key.pem"),
        ("FOREBAY_RTMPS", "127.0.0.1:0"),
        ("FOREBAY_STREAM_KEY", KEY),
    ];
    folder.serve(&settings).await
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// curl, whose HTTP/2 is not ours: version, status and body.
async fn curl(folder: &Folder, options: &[&str], url: &str) -> (String, String, Vec<u8>) {
    let body = folder.file("body");
    let output = Command::new("curl")
        .args(["-s", "--max-time", "30", "--cacert"])
        .arg(folder.file("cert.pem"))
        .arg("-o")
        .arg(&body)
        .args(["-w", "%{http_version} %{http_code}"])
        .args(options)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let (version, status) = told.split_once(' ').unwrap();
    let body = std::fs::read(body).unwrap_or_default();
    (version.to_owned(), status.to_owned(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_http2_and_rtmps_carry_the_same_stream() {
    let folder = Folder::new();
    let trusted = certificate(&folder);
    let gateway = serve(&folder).await;
    let banner = gateway.banner();
    let http = gateway.http();
    assert!(banner.contains(&format!("https://{http}/live")), "{banner}");

    let stream = connect(gateway.rtmps(), &trusted).await.unwrap();
    let publisher = RtmpPublisher::over(stream).await.unwrap();
    let mut encoder = Encoder::over(publisher, KEY).await.unwrap();
    for _ in 0..4 {
        encoder.lap().await.unwrap();
    }
    let url = format!("https://localhost:{}", http.port());
    let listed = async || {
        let (version, status, body) = curl(
            &folder,
            &["--http2", "-L"],
            &format!("{url}/hls/live/index.m3u8"),
        )
        .await;
        assert_eq!(version, "2");
        (status == "200").then_some(body)
    };
    let multivariant = gateway.until("playlist", listed).await;
    assert!(multivariant.starts_with(b"#EXTM3U"));
    for (option, expected) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let (version, status, _) = curl(&folder, &[option], &format!("{url}/healthz")).await;
        assert_eq!((&*version, &*status), (expected, "200"));
    }
    // Many streams at once over one connection.
    let many: Vec<String> = (0..50).map(|n| format!("{url}/time?{n}")).collect();
    let mut options = vec!["--http2", "--parallel"];
    options.extend(many.iter().map(String::as_str));
    let (version, status, _) = curl(&folder, &options, &format!("{url}/time")).await;
    assert!(
        version.starts_with('2') && status.ends_with("200"),
        "{version} {status}"
    );

    // Who speaks no TLS gets none of it.
    let plain = RtmpPublisher::connect(gateway.rtmps()).await;
    assert!(plain.is_err());
    encoder.finish().await;
    let log = gateway.stop().await;
    assert!(!log.contains(" ERROR "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_over_rtmps() {
    let folder = Folder::new();
    certificate(&folder);
    let gateway = serve(&folder).await;
    let url = format!("rtmps://{}/live/{KEY}", gateway.rtmps());
    let file = crate::common::media::Clip::h264(120, 30).file();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-c", "copy", "-f", "flv", &url])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let log = gateway.stop().await;
    assert!(
        log.contains("publish accepted") && log.contains("proto=\"rtmps\""),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_a_new_certificate_and_keeps_the_old_one_when_the_new_is_broken() {
    let folder = Folder::new();
    let first = certificate(&folder);
    let gateway = serve(&folder).await;
    for address in [gateway.http(), gateway.rtmps()] {
        connect(address, &first).await.unwrap();
    }
    // A publisher is not disturbed by what follows.
    let stream = connect(gateway.rtmps(), &first).await.unwrap();
    let publisher = RtmpPublisher::over(stream).await.unwrap();
    let mut encoder = Encoder::over(publisher, KEY).await.unwrap();

    folder.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    gateway.signal("HUP").await;
    let refused = async || {
        gateway
            .log()
            .contains("certificate not reloaded")
            .then_some(())
    };
    gateway.until("complaint", refused).await;
    connect(gateway.http(), &first).await.unwrap();

    let second = certificate(&folder);
    gateway.signal("HUP").await;
    for address in [gateway.http(), gateway.rtmps()] {
        let new = async || connect(address, &second).await.ok().map(drop);
        gateway.until("new certificate", new).await;
        assert!(connect(address, &first).await.is_err());
    }
    encoder.lap().await.unwrap();
    encoder.finish().await;
    gateway.stop().await;
}
