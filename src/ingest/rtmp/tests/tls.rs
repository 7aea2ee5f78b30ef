//! RTMPS: certificates, and a new one while it runs.

use std::io;

use super::*;

/// A certificate for `localhost` and the two ends' configurations.
fn tls() -> (rustls::ServerConfig, rustls::ClientConfig) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

async fn connect_tls(
    address: SocketAddr,
    client: &rustls::ClientConfig,
) -> io::Result<RtmpPublisher<tokio_rustls::client::TlsStream<TcpStream>>> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client.clone()));
    let stream = TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    RtmpPublisher::over(connector.connect(name, stream).await?).await
}

#[tokio::test]
async fn rtmps_publishes_and_a_new_certificate_holds_for_the_next_connection() {
    let mut server = Server::new();
    let (first, first_client) = tls();
    let (second, second_client) = tls();
    let current: Tls = Arc::new(ArcSwap::from_pointee(first));
    let address = server.listen(Some(current.clone())).await;
    let mut encoder = connect_tls(address, &first_client).await.unwrap();
    encoder.publish("live", "KEY").await.unwrap();
    assert!(matches!(
        server.seen().await,
        Seen::Request(_, _, _, "rtmps")
    ));
    current.store(Arc::new(second));
    assert!(connect_tls(address, &first_client).await.is_err());
    assert!(connect_tls(address, &second_client).await.is_ok());
    encoder
        .send_audio(0, &synthetic::aac_config())
        .await
        .unwrap();
    assert!(matches!(server.seen().await, Seen::Track(_)));
    // Somebody who speaks plain RTMP to this port.
    assert!(RtmpPublisher::connect(address).await.is_err());
    drop(encoder);
    server.context.tasks.finish().await;
}
