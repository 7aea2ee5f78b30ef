//! What the console and its sign-in need to know of the world outside of `control`.

use std::net::SocketAddr;

use axum::Router;

use super::listeners::Addresses as Listening;
use crate::config::Config;
use crate::control::pages;
use crate::{control, origin};

/// Routes and pages of the public address, and of the operators' own where they have one.
pub(super) fn routers(state: control::State, own_address: bool) -> (Router, Option<Router>) {
    let (public, operators) = match own_address {
        true => {
            let operators = control::operator_router(state.clone());
            let public = control::public_router(state.clone());
            (
                public.merge(pages::public_routes(state.clone())),
                Some(operators.merge(pages::operator_routes(state))),
            )
        }
        false => {
            let everything = control::router(state.clone()).merge(pages::routes(state));
            (everything, None)
        }
    };
    (with_caller(public), operators.map(with_caller))
}

/// Tells control's handlers whose request it is, in their own words.
fn with_caller(router: Router) -> Router {
    let told = |mut request: axum::extract::Request| async move {
        if let Some(client) = request.extensions().get::<origin::Client>() {
            let caller = control::Caller {
                address: client.address,
                secure: client.secure,
                trusted_proxy: client.trusted_proxy,
            };
            request.extensions_mut().insert(caller);
        }
        request
    };
    router.layer(axum::middleware::map_request(told))
}

/// Where the console says that encoders and viewers go.
pub(super) fn addresses(config: &Config, bound: &Listening) -> control::Addresses {
    let port = |addresses: &[SocketAddr]| addresses.first().map(SocketAddr::port);
    control::Addresses {
        rtmp_url: config.urls.ingest_rtmp.clone(),
        rtmp_port: port(&bound.rtmp),
        rtmps_port: port(&bound.rtmps),
        srt_port: port(&bound.srt),
        srt_encrypted: config.listen.srt_passphrase.is_some(),
        public_url: config.urls.public_url.clone(),
        public_port: port(&bound.http),
    }
}
