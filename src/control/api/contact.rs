//! Contacts of a user (contract, broadcasts, section 9): an address book, and who of it is here.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Done, ok};
use super::docs::{ById, Conflicting, Lookup, Sized, Usual};
use super::follow::{add_follow, remove_follow};
use super::time::seconds;
use super::user::name;
use super::{ByUser, Call, Error, phone};
use crate::base::id::Uuid;
use crate::control::pcast::Fields;
use crate::store::{Contact, NewContact, User};

/// Contacts in a body: more than phones hold.
const MAX_SYNCED: usize = 5000;
/// Address books of a user in an hour: phones send theirs when the app starts. Each takes a turn of those that
/// passwords wait for.
const SYNCS_PER_HOUR: u32 = 120;

/// A contact.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiContact)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    #[schema(format = "uuid")]
    id: String,
    /// As it was given.
    phone_number: &'a str,
    #[schema(required = true)]
    display_name: Option<&'a str>,
    #[schema(required = true)]
    first_name: Option<&'a str>,
    #[schema(required = true)]
    last_name: Option<&'a str>,
    #[schema(required = true)]
    email: Option<&'a str>,
    /// Whether a user of the same tenant has this number.
    is_pubfuse_user: bool,
    /// That user.
    #[schema(required = true, format = "uuid")]
    pubfuse_user_id: Option<String>,
    is_following: bool,
    is_followed_by: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// What a sync came to.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiContactsSynced)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Synced<'a> {
    /// Always true.
    success: bool,
    message: &'static str,
    /// Those of the request, each number once.
    contacts: Vec<View<'a>>,
    /// How many these are.
    total_contacts: usize,
    /// How many of these are users.
    pubfuse_users: usize,
}

/// Contacts of an address book.
#[derive(ToSchema)]
#[schema(as = ApiContactsSync)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Sync {
    /// At most 5000.
    #[schema(inline)]
    contacts: Vec<SyncContact>,
}

/// A contact of an address book. What is left out or null stays as it is.
#[derive(ToSchema)]
#[schema(as = ApiContactSync)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
struct SyncContact {
    /// In any form; numbers without a country are those of the United States and Canada.
    phone_number: String,
    display_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
}

/// What changes of a contact. What is left out or null stays; empty texts take away what may be missing.
#[derive(ToSchema)]
#[schema(as = ApiContactChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Change {
    phone_number: Option<String>,
    display_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
}

impl View<'_> {
    fn of(contact: &Contact) -> View<'_> {
        let content = &contact.content;
        View {
            id: contact.id.to_string(),
            phone_number: &content.phone,
            display_name: content.display_name.as_deref(),
            first_name: content.first_name.as_deref(),
            last_name: content.last_name.as_deref(),
            email: content.email.as_deref(),
            is_pubfuse_user: contact.user.is_some(),
            pubfuse_user_id: contact.user.map(|id| id.to_string()),
            is_following: contact.is_following,
            is_followed_by: contact.is_followed_by,
            created_at: seconds(contact.created),
            updated_at: seconds(contact.updated),
        }
    }
}

#[utoipa::path(
    post, path = "/api/contacts/sync", tag = "contacts", operation_id = "syncContacts",
    summary = "Add or change contacts by their numbers", security(("userToken" = [])),
    request_body = inline(Sync),
    responses((status = 200, description = "As they are now.", body = inline(Synced<'_>)), Usual, Sized),
)]
pub(in crate::control) async fn sync(ByUser(mut call, user): ByUser) -> Answer {
    let now = call.state.setup().clock.monotonic();
    let key = format!("address book {}", user.id);
    call.state.strangers().take(&key, SYNCS_PER_HOUR, now)?;
    let body = call.body().await?;
    let read = move || {
        let mut fields = Fields::parse(&body)?;
        let contacts = fields.need_objects("contacts", MAX_SYNCED)?;
        let contacts = contacts.into_iter().map(read_contact);
        let contacts = contacts.collect::<Result<Vec<_>, Error>>()?;
        Ok::<_, Error>(each_once(contacts))
    };
    let new = call.state.work().run(read).await??;
    let store = &call.state.setup().store;
    store.sync_contacts(&user, &new).await?;
    let mut known: HashMap<String, Contact> = HashMap::new();
    for contact in store.contacts(&user).await? {
        known.insert(contact.content.phone_e164.clone(), contact);
    }
    let contacts = new.iter().filter_map(|new| known.get(&new.phone_e164));
    let contacts: Vec<_> = contacts.map(View::of).collect();
    Ok(ok(&Synced {
        success: true,
        message: "contacts are in sync",
        total_contacts: contacts.len(),
        pubfuse_users: contacts
            .iter()
            .filter(|contact| contact.is_pubfuse_user)
            .count(),
        contacts,
    }))
}

#[utoipa::path(
    get, path = "/api/contacts", tag = "contacts", operation_id = "listContacts",
    summary = "All contacts of the user", security(("userToken" = [])),
    responses((status = 200, description = "Oldest first.", body = inline(Vec<View<'_>>)), Usual),
)]
pub(in crate::control) async fn list(ByUser(call, user): ByUser) -> Answer {
    let contacts = call.state.setup().store.contacts(&user).await?;
    let contacts: Vec<_> = contacts.iter().map(View::of).collect();
    Ok(ok(&contacts))
}

#[utoipa::path(
    get, path = "/api/contacts/{id}", tag = "contacts", operation_id = "getContact",
    summary = "One contact of the user", security(("userToken" = [])),
    params(ById),
    responses((status = 200, description = "It.", body = View<'_>), Usual, Lookup),
)]
pub(in crate::control) async fn fetch(ByUser(mut call, user): ByUser) -> Answer {
    let contact = named(&mut call, &user).await?;
    Ok(ok(&View::of(&contact)))
}

#[utoipa::path(
    put, path = "/api/contacts/{id}", tag = "contacts", operation_id = "updateContact",
    summary = "Change a contact of the user", security(("userToken" = [])),
    params(ById), request_body = inline(Change),
    responses((status = 200, description = "As it is now.", body = View<'_>), Usual, Lookup, Sized,
        Conflicting),
)]
pub(in crate::control) async fn change(ByUser(mut call, user): ByUser) -> Answer {
    let Contact {
        id, mut content, ..
    } = named(&mut call, &user).await?;
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    for (key, value) in [
        ("displayName", &mut content.display_name),
        ("firstName", &mut content.first_name),
        ("lastName", &mut content.last_name),
        ("email", &mut content.email),
    ] {
        if let Some(said) = name(&mut fields, key)? {
            *value = said;
        }
    }
    if let Some(said) = fields.line("phoneNumber")? {
        said.trim().clone_into(&mut content.phone);
        let found = call.state.work().run(move || number(&said)).await?;
        content.phone_e164 = found?;
    }
    let store = &call.state.setup().store;
    store.update_contact(&user, id, &content).await?;
    let contact = store.contact(&user, id).await?;
    let contact = contact.ok_or(Error::NotFound("contact"))?;
    Ok(ok(&View::of(&contact)))
}

#[utoipa::path(
    post, path = "/api/contacts/{id}/follow", tag = "contacts", operation_id = "followContact",
    summary = "Follow the user who has the contact's number", security(("userToken" = [])),
    params(ById),
    responses((status = 200, description = "It is followed.", body = Done), Usual, Lookup, Conflicting),
)]
pub(in crate::control) async fn follow(ByUser(mut call, user): ByUser) -> Answer {
    let followed = user_of(&mut call, &user).await?;
    add_follow(&call.state, &user, followed).await
}

#[utoipa::path(
    delete, path = "/api/contacts/{id}/follow", tag = "contacts", operation_id = "unfollowContact",
    summary = "Follow the user who has the contact's number no more", security(("userToken" = [])),
    params(ById),
    responses((status = 200, description = "It is not followed.", body = Done), Usual, Lookup),
)]
pub(in crate::control) async fn unfollow(ByUser(mut call, user): ByUser) -> Answer {
    let followed = user_of(&mut call, &user).await?;
    remove_follow(&call.state, &user, followed).await
}

/// The contact that the path names.
async fn named(call: &mut Call, user: &User) -> Result<Contact, Error> {
    let id = call.parameter("id").await?;
    let missing = || Error::NotFound("contact");
    let id = Uuid::try_parse(&id).map_err(|_| missing())?;
    let contact = call.state.setup().store.contact(user, id).await?;
    contact.ok_or_else(missing)
}

/// The user who has the number of the contact that the path names.
async fn user_of(call: &mut Call, user: &User) -> Result<Uuid, Error> {
    let contact = named(call, user).await?;
    let none = || Error::Bad("the contact is no user here".to_owned());
    contact.user.ok_or_else(none)
}

fn read_contact(fields: Fields) -> Result<NewContact, Error> {
    let mut fields = fields.without_nulls();
    let phone = fields.need_line("phoneNumber")?;
    Ok(NewContact {
        phone_e164: number(&phone)?,
        phone: phone.trim().to_owned(),
        display_name: name(&mut fields, "displayName")?.flatten(),
        first_name: name(&mut fields, "firstName")?.flatten(),
        last_name: name(&mut fields, "lastName")?.flatten(),
        email: name(&mut fields, "email")?.flatten(),
    })
}

/// By what a number is found again. An address book has codes such as 611, too: those are what they are, and
/// nobody's.
fn number(text: &str) -> Result<String, Error> {
    match text.trim() {
        "" => Err(Error::Bad("phoneNumber is empty".to_owned())),
        text => Ok(phone::e164(text).unwrap_or_else(|| text.to_owned())),
    }
}

/// One contact for each number, in the order of their first mention; what is said later counts.
fn each_once(contacts: Vec<NewContact>) -> Vec<NewContact> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut once: Vec<NewContact> = Vec::with_capacity(contacts.len());
    for contact in contacts {
        let Some(place) = places.get(&contact.phone_e164) else {
            places.insert(contact.phone_e164.clone(), once.len());
            once.push(contact);
            continue;
        };
        let old = &mut once[*place];
        *old = NewContact {
            display_name: contact.display_name.or(old.display_name.take()),
            first_name: contact.first_name.or(old.first_name.take()),
            last_name: contact.last_name.or(old.last_name.take()),
            email: contact.email.or(old.email.take()),
            ..contact
        };
    }
    once
}
