//! Users and broadcasts for tests, here and in other modules, which change what they are about.

use super::*;

impl User {
    /// A user without a phone; its times are set when it is made.
    pub(crate) fn named(application_id: &str, name: &str) -> User {
        User {
            id: Uuid::new_v4(),
            application_id: application_id.to_owned(),
            username: name.to_owned(),
            email: format!("{name}@example.test"),
            password: Secret::new("hash"),
            phone: String::new(),
            phone_e164: String::new(),
            first_name: None,
            last_name: None,
            display_name: None,
            avatar_url: None,
            created: Wall(0),
            updated: Wall(0),
        }
    }
}

impl<'a> NewBroadcast<'a> {
    /// A public broadcast of an application.
    pub(crate) fn titled(application_id: &'a str, title: &'a str) -> NewBroadcast<'a> {
        NewBroadcast {
            region: "local",
            application_id,
            stream_id: None,
            user_id: None,
            anonymous: None,
            title,
            description: None,
            visibility: Visibility::Public,
            tags: &[],
            metadata: "{}",
            max_participants: None,
        }
    }
}
