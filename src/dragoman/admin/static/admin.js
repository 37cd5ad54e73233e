// Passkeys for the admin pages: asks the server for options, the browser for a passkey, and sends its answer back.
// It stores nothing and reads one secret, the one-time link's fragment, which it takes out of the address at once.

const place = document.querySelector("[data-passkey]");
const status = document.querySelector("[data-status]");

/** base64url without padding, as WebAuthn's JSON form has it. */
function encoded(buffer) {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decoded(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (one) => one.charCodeAt(0));
}

const described = (list) => (list ?? []).map((one) => ({ ...one, id: decoded(one.id) }));

/** Post JSON with the page's form token; the answer, or a thrown sentence for people. */
async function post(path, body) {
  const headers = { "content-type": "application/json", "x-csrf-token": place.dataset.csrf };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error?.message ?? place.dataset.failed);
  return said;
}

async function create(base, begin, title) {
  const { options } = await post(`${base}/options`, begin);
  const publicKey = {
    ...options,
    challenge: decoded(options.challenge),
    user: { ...options.user, id: decoded(options.user.id) },
    excludeCredentials: described(options.excludeCredentials),
  };
  const made = await navigator.credentials.create({ publicKey });
  const response = {
    clientDataJSON: encoded(made.response.clientDataJSON),
    attestationObject: encoded(made.response.attestationObject),
    transports: made.response.getTransports?.() ?? [],
  };
  const credential = { id: made.id, rawId: encoded(made.rawId), type: made.type, response };
  return post(`${base}/passkey`, { credential, title });
}

async function prove(base, next) {
  const { options } = await post(`${base}/options`, {});
  const publicKey = {
    ...options,
    challenge: decoded(options.challenge),
    allowCredentials: described(options.allowCredentials),
  };
  const got = await navigator.credentials.get({ publicKey });
  const response = {
    clientDataJSON: encoded(got.response.clientDataJSON),
    authenticatorData: encoded(got.response.authenticatorData),
    signature: encoded(got.response.signature),
    userHandle: got.response.userHandle ? encoded(got.response.userHandle) : undefined,
  };
  const credential = { id: got.id, rawId: encoded(got.rawId), type: got.type, response };
  return post(`${base}/passkey`, { credential, next });
}

function ceremony() {
  const { passkey, next } = place.dataset;
  const title = document.querySelector("#title")?.value ?? "";
  if (passkey === "/login" || passkey === "/confirm") return prove(passkey, next);
  return create(passkey, passkey === "/enrol" ? { link } : {}, title);
}

async function run(event) {
  event.preventDefault();
  const button = place.querySelector("button");
  button.disabled = true;
  status.hidden = true;
  try {
    const { next } = await ceremony();
    location.assign(next);
  } catch (fault) {
    // What the browser itself says when a person cancels is in its own words; ours is one sentence.
    status.textContent = fault.name === "Error" ? fault.message : place.dataset.failed;
    status.hidden = false;
    button.disabled = false;
  }
}

let link = "";
if (place) {
  if (place.dataset.passkey === "/enrol") {
    link = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    for (const other of document.querySelectorAll("a[hreflang]")) other.hash = link;
    if (!link) {
      status.textContent = place.dataset.missing;
      status.hidden = false;
    }
  }
  if (!window.PublicKeyCredential) {
    status.textContent = place.dataset.unable;
    status.hidden = false;
  }
  place.addEventListener("submit", run);
}
