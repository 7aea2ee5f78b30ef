// What the guide to /api prints for JavaScript: samples stand as they are printed; hosts, keys, ids and what was
// elided are filled in. Streaming providers, tokens and co-hosts are in streaming.mjs.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Frames, answer, call, register } from "./lib.mjs";

const require = createRequire(import.meta.url);
const { apiKey, secretKey } = await register();
const key = { "X-API-Key": apiKey };

// ---- Signed requests

const crypto = require('crypto');
function generateSignature(method, path, body, timestamp, secretKey) {
  const payload = `${method}${path}${body}${timestamp}`;
  return crypto.createHmac('sha256', secretKey)
    .update(payload)
    .digest('hex');
}
{
  const method = 'POST';
  const path = '/api/v1/sessions';
  const body = JSON.stringify({ title: 'My Stream' });
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const signature = generateSignature(method, path, body, timestamp, secretKey);
  await fetch('https://media.example/api/v1/sessions', {
    method: 'POST',
    headers: {
      'X-API-Key': apiKey,
      'X-Signature': signature,
      'X-Timestamp': timestamp,
      'Content-Type': 'application/json'
    },
    body: body
  });
  assert.equal(answer.status, 200);
  assert.equal((await answer.json()).title, "My Stream");
}

// ---- The SDK class

class MediaSDK {
  constructor(apiKey, secretKey, baseUrl = 'https://media.example') {
    this.apiKey = apiKey;
    this.secretKey = secretKey;
    this.baseUrl = baseUrl;
  }
  async makeRequest(method, path, data = null) {
    const timestamp = Math.floor(Date.now() / 1000).toString();
    const body = data ? JSON.stringify(data) : '';
    const signature = this.generateSignature(method, path, body, timestamp);
    const response = await fetch(`${this.baseUrl}${path}`, {
      method,
      headers: {
        'X-API-Key': this.apiKey,
        'X-Signature': signature,
        'X-Timestamp': timestamp,
        'Content-Type': 'application/json'
      },
      body: data ? body : undefined
    });
    return response.json();
  }
  generateSignature(method, path, body, timestamp) {
    const crypto = require('crypto');
    const payload = `${method}${path}${body}${timestamp}`;
    return crypto.createHmac('sha256', this.secretKey)
      .update(payload)
      .digest('hex');
  }
  // Stream Management
  async createSession(title, description = '') {
    return this.makeRequest('POST', '/api/v1/sessions', {
      title,
      description
    });
  }
  async getSessions() {
    return this.makeRequest('GET', '/api/v1/sessions');
  }
  // User Management
  async registerUser(userData) {
    return this.makeRequest('POST', '/api/users/signup', userData);
  }
  async loginUser(email, password) {
    return this.makeRequest('POST', '/api/users/login', {
      email,
      password
    });
  }
}
// Usage
const sdk = new MediaSDK(apiKey, secretKey);
// Create a session
let created;
await sdk.createSession('My Live Stream', 'Welcome to my stream!')
  .then(session => console.log('Session created:', created = session))
  .catch(error => assert.fail(error));
assert.equal(answer.status, 200);
assert.equal(created.title, "My Live Stream");
assert.equal(created.description, "Welcome to my stream!");
assert.equal(created.status, "created");
assert.notEqual(created.id, created.streamId);

const sessions = await sdk.getSessions();
assert.equal(sessions[0].id, created.id);
assert.equal(sessions[1].title, "My Stream");

const jane = await sdk.registerUser({
  username: "jane",
  email: "jane@media.example",
  password: "correct horse",
  phoneNumber: "(212) 555-0147",
});
assert.equal(jane.user.username, "jane");
const john = await sdk.registerUser({
  username: "john",
  email: "john@media.example",
  password: "battery staple",
  phoneNumber: "+1 234 567 890",
});
const signedIn = await sdk.loginUser("john@media.example", "battery staple");
assert.equal(signedIn.user.id, john.user.id);
const token = signedIn.token;
assert.equal((await sdk.loginUser("john@media.example", "correct horse")).success, false);
assert.equal(answer.status, 401);

// Signed like the others: what the guide names without a sample.
const users = await sdk.makeRequest("GET", "/api/v1/users");
assert.deepEqual(users.map((user) => user.username).sort(), ["jane", "john"]);
for (const method of ["PATCH", "PUT"]) {
  const changed = await sdk.makeRequest(method, `/api/v1/sessions/${created.id}`, {
    status: "active",
    metadata: { by: method },
  });
  assert.equal(changed.status, "active");
  assert.deepEqual(changed.metadata, { by: method });
}

// ---- Too many requests

// Implement exponential backoff for rate limiting
async function makeRequestWithRetry(requestFn, maxRetries = 3) {
  for (let i = 0; i < maxRetries; i++) {
    try {
      return await requestFn();
    } catch (error) {
      if (error.status === 429 && i < maxRetries - 1) {
        const delay = Math.pow(2, i) * 1000; // Exponential backoff
        await new Promise(resolve => setTimeout(resolve, delay));
        continue;
      }
      throw error;
    }
  }
}
assert.equal((await makeRequestWithRetry(() => sdk.getSessions())).length, 2);

// ---- Contacts

// Sync contacts from device
const syncContacts = async (contacts) => {
  const response = await fetch('/api/contacts/sync', {
    method: 'POST',
    headers: {
      'Authorization': `Bearer ${token}`,
      'Content-Type': 'application/json'
    },
    body: JSON.stringify({
      contacts: contacts.map(contact => ({
        phoneNumber: contact.phoneNumber,
        displayName: contact.displayName,
        firstName: contact.firstName,
        lastName: contact.lastName,
        email: contact.email
      }))
    })
  });
  const result = await response.json();
  console.log(`Synced ${result.totalContacts} contacts, ${result.pubfuseUsers} of them are users`);
  return result;
};
// Example usage
const deviceContacts = [
  {
    phoneNumber: "+1234567890",
    displayName: "John Doe",
    firstName: "John",
    lastName: "Doe",
    email: "john.doe@media.example"
  },
  { phoneNumber: "212-555-0147" }
];
const syncResult = await syncContacts(deviceContacts);
assert.equal(answer.status, 200);
assert.equal(syncResult.success, true);
assert.equal(syncResult.totalContacts, 2);

// Follow a contact who is a user
const followContact = async (contactId) => {
  const response = await fetch(`/api/contacts/${contactId}/follow`, {
    method: 'POST',
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  if (response.ok) {
    console.log('Contact followed successfully');
  }
};
const friend = syncResult.contacts.find((contact) => contact.pubfuseUserId === jane.user.id);
await followContact(friend.id);
assert.equal(answer.status, 200);
await followContact(friend.id);
assert.equal(answer.status, 409);

// Get user's contacts and who of them is a user
const getContacts = async () => {
  const response = await fetch('/api/contacts', {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  const contacts = await response.json();
  // Filter contacts who are users
  const usersOfThem = contacts.filter(contact => contact.isPubfuseUser);
  console.log(`${usersOfThem.length} of your contacts are users`);
  return contacts;
};
const contacts = await getContacts();
assert.equal(contacts.length, 2);
assert.equal(contacts.find((contact) => contact.id === friend.id).isFollowing, true);
const bearer = { Authorization: `Bearer ${token}` };
assert.equal((await call("GET", `/api/contacts/${friend.id}`, bearer)).isFollowing, true);

// ---- Profiles

// Get full user profile with social metrics
const getFullProfile = async () => {
  const response = await fetch('/api/users/profile/full', {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  const profile = await response.json();
  console.log(`Profile: ${profile.username} has ${profile.followerCount} followers`);
  return profile;
};
const profile = await getFullProfile();
assert.equal(profile.username, "john");
assert.equal(profile.followerCount, 0);
assert.equal(profile.followingCount, 1);

// Search for users
const searchUsers = async (query) => {
  const response = await fetch(`/api/users/search?q=${encodeURIComponent(query)}`, {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  const users = await response.json();
  return users;
};
const found = await searchUsers("jane@media.example");
assert.equal(found[0].id, jane.user.id);
assert.equal(found[0].isFollowing, true);
assert.deepEqual(await searchUsers("nobody & nothing"), []);

// Get follower/following counts
const getSocialCounts = async () => {
  const [followersRes, followingRes] = await Promise.all([
    fetch('/api/users/followers/count', {
      headers: { 'Authorization': `Bearer ${token}` }
    }),
    fetch('/api/users/following/count', {
      headers: { 'Authorization': `Bearer ${token}` }
    })
  ]);
  const followers = await followersRes.json();
  const following = await followingRes.json();
  return {
    followers: followers.count,
    following: following.count
  };
};
assert.deepEqual(await getSocialCounts(), { followers: 0, following: 1 });
await call("DELETE", `/api/contacts/${friend.id}/follow`, bearer);
assert.deepEqual(await getSocialCounts(), { followers: 0, following: 0 });

// ---- Files

// Upload a file
const uploadFile = async (fileData) => {
  const response = await fetch('/api/files', {
    method: 'POST',
    headers: {
      'Authorization': `Bearer ${token}`,
      'Content-Type': 'application/json'
    },
    body: JSON.stringify({
      name: 'profile-photo.jpg',
      description: 'My profile picture',
      mimeType: 'image/jpeg',
      filePathOriginal: '/uploads/original/profile-photo.jpg',
      filePathThumbnail: '/uploads/thumb/profile-photo.jpg',
      filePathSmall: '/uploads/small/profile-photo.jpg',
      filePathMedium: '/uploads/medium/profile-photo.jpg',
      filePathLarge: '/uploads/large/profile-photo.jpg',
      fileSizeBytes: 245890,
      categoryName: 'profile',
      tags: ['profilepic', 'avatar'],
      location: 'San Francisco, CA'
    })
  });
  return await response.json();
};
// Get user's profile image
const getProfileImage = async (userId) => {
  const response = await fetch(`/api/files/profileimage/foruser/${userId}`, {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  return await response.json();
};
// Get all files for a user with optional filtering
const getUserFiles = async (userId, category = null, tag = null) => {
  let url = `/api/files/foruser/${userId}`;
  const params = new URLSearchParams();
  if (category) params.append('category', category);
  if (tag) params.append('tag', tag);
  if (params.toString()) url += `?${params.toString()}`;
  const response = await fetch(url, {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  return await response.json();
};
// Update file metadata
const updateFile = async (fileId, updates) => {
  const response = await fetch(`/api/files/${fileId}`, {
    method: 'PUT',
    headers: {
      'Authorization': `Bearer ${token}`,
      'Content-Type': 'application/json'
    },
    body: JSON.stringify(updates)
  });
  return await response.json();
};
// Delete a file
const deleteFile = async (fileId) => {
  const response = await fetch(`/api/files/${fileId}`, {
    method: 'DELETE',
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  return response.status === 204; // No Content on success
};
// Get files for a broadcast
const getBroadcastFiles = async (broadcastId) => {
  const response = await fetch(`/api/files/forbroadcast/${broadcastId}`, {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  return await response.json();
};
// Get files for a contact
const getContactFiles = async (contactId) => {
  const response = await fetch(`/api/files/forcontact/${contactId}`, {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  });
  return await response.json();
};

const photo = await uploadFile();
assert.equal(answer.status, 200);
assert.equal(photo.userID, john.user.id);
assert.equal(photo.filePathThumbnail, "/uploads/thumb/profile-photo.jpg");
assert.equal(photo.fileSizeBytes, 245890);
assert.equal((await getProfileImage(john.user.id)).id, photo.id);
const ids = (files) => files.map((file) => file.id);
assert.deepEqual(ids(await getUserFiles(john.user.id)), [photo.id]);
assert.deepEqual(ids(await getUserFiles(john.user.id, "profile", "avatar")), [photo.id]);
assert.deepEqual(ids(await getUserFiles(john.user.id, "profile", "other")), []);
assert.deepEqual(ids(await getUserFiles(john.user.id, null, "profilepic")), [photo.id]);
const updated = await updateFile(photo.id, { description: "Older", tags: ["avatar"] });
assert.equal(answer.status, 200);
assert.deepEqual([updated.description, updated.tags, updated.name], ["Older", ["avatar"], "profile-photo.jpg"]);
assert.deepEqual(await getBroadcastFiles(created.id), []);
assert.deepEqual(await getContactFiles(friend.id), []);

// A form, as a browser sends it: bytes, and what of the record the server does not find out by itself.
const form = new FormData();
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
form.append("file", new Blob([Buffer.from(pixel, "base64")], { type: "image/png" }), "poster.png");
form.append("categoryName", "poster");
form.append("forBroadcastId", created.id);
form.append("forContactID", friend.id);
const poster = await (await fetch("/api/files", { method: "POST", headers: bearer, body: form })).json();
assert.equal(answer.status, 200, JSON.stringify(poster));
assert.equal(poster.mimeType, "image/png");
assert.deepEqual(ids(await getBroadcastFiles(created.id)), [poster.id]);
assert.deepEqual(ids(await getContactFiles(friend.id)), [poster.id]);
const named = [
  ["/api/files", [poster.id, photo.id]],
  [`/api/files/formessage/${poster.id}`, []],
  [`/api/files/forcall/${poster.id}`, []],
];
for (const [path, wanted] of named) {
  assert.deepEqual(ids(await call("GET", path, bearer)), wanted, path);
}
assert.equal((await call("GET", `/api/files/contactimage/foruser/${john.user.id}`, bearer)).id, poster.id);
assert.equal(await deleteFile(poster.id), true);
assert.equal(await deleteFile(photo.id), true);
await getProfileImage(john.user.id);
assert.equal(answer.status, 404);

// ---- Chat and reactions

const chat = new Frames(`/ws/streams/${created.streamId}/chat?token=${token}`);
await chat.opened();
chat.socket.send(JSON.stringify({ type: "message", message: "hi", userName: "Jo" }));
const told = await chat.next();
assert.equal(told.type, "message");
assert.equal(told.message, "hi");
assert.equal(told.streamId, created.streamId);
assert.equal(told.userId, john.user.id);
assert.deepEqual(await call("POST", `/api/v1/sessions/${created.id}/reactions`, key, { type: "heart" }), {
  success: true,
});
const reaction = await chat.next();
assert.deepEqual([reaction.type, reaction.reaction], ["reaction", "heart"]);
chat.socket.close();
