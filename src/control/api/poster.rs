//! Broadcasts as they are shown, with their posters (contract, broadcasts, section 10): pictures that users
//! keep for them.

use super::broadcast::{Own, View};
use super::{Call, Error};
use crate::store::Broadcast;

/// What a caller sees of broadcasts.
pub(in crate::control) fn views<'a>(
    call: &Call,
    broadcasts: &'a [Broadcast],
    with_secrets: bool,
) -> impl Future<Output = Result<Vec<View<'a>>, Error>> + Send + use<'a> {
    let bases = call.bases();
    let view = |one| View::of(call, &bases, one, with_secrets);
    let views = broadcasts.iter().map(view).collect();
    with_posters(call, broadcasts, views)
}

/// What a caller sees of broadcasts that it may change.
pub(super) fn owns<'a>(
    call: &Call,
    broadcasts: &'a [Broadcast],
    with_secrets: bool,
) -> impl Future<Output = Result<Vec<Own<'a>>, Error>> + Send + use<'a> {
    let bases = call.bases();
    let own = |one| Own::of(call, &bases, one, with_secrets);
    let owns = broadcasts.iter().map(own).collect();
    with_posters(call, broadcasts, owns)
}

/// What a caller sees of a broadcast.
pub(super) fn view<'a>(
    call: &Call,
    broadcast: &'a Broadcast,
    with_secrets: bool,
) -> impl Future<Output = Result<View<'a>, Error>> + Send + use<'a> {
    let views = views(call, std::slice::from_ref(broadcast), with_secrets);
    async { Ok(views.await?.remove(0)) }
}

/// What a caller sees of a broadcast that it may change.
pub(super) fn own<'a>(
    call: &Call,
    broadcast: &'a Broadcast,
    with_secrets: bool,
) -> impl Future<Output = Result<Own<'a>, Error>> + Send + use<'a> {
    let owns = owns(call, std::slice::from_ref(broadcast), with_secrets);
    async { Ok(owns.await?.remove(0)) }
}

/// Views of these broadcasts, in their order, with the posters.
fn with_posters<'a, V: AsMut<View<'a>> + Send>(
    call: &Call,
    broadcasts: &'a [Broadcast],
    mut views: Vec<V>,
) -> impl Future<Output = Result<Vec<V>, Error>> + Send + use<'a, V> {
    let web = call.bases().web;
    let store = call.state.setup().store.clone();
    async move {
        let posters = store.posters(broadcasts).await?;
        for (view, broadcast) in views.iter_mut().zip(broadcasts) {
            let path = posters.get(&broadcast.id);
            view.as_mut().poster_url = path.map(|path| address(&web, path));
        }
        Ok(views)
    }
}

/// Where a file's path leads: paths of files that were sent here follow the base, with one slash between
/// (decision B-11); clients may also have named a place elsewhere.
fn address(web: &str, path: &str) -> String {
    match path.starts_with("https://") || path.starts_with("http://") {
        true => path.to_owned(),
        false => format!("{web}/{}", path.trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_below_the_base_unless_it_names_a_place_on_the_web() {
        let web = "https://media.example";
        for (path, expected) in [
            ("/uploads/1/a.jpg", "https://media.example/uploads/1/a.jpg"),
            ("uploads/1/a.jpg", "https://media.example/uploads/1/a.jpg"),
            ("https://cdn.example/a.jpg", "https://cdn.example/a.jpg"),
            (
                "//cdn.example/a.jpg",
                "https://media.example/cdn.example/a.jpg",
            ),
            (
                "javascript:alert(1)",
                "https://media.example/javascript:alert(1)",
            ),
        ] {
            assert_eq!(address(web, path), expected);
        }
    }
}
