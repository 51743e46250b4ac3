// SPDX-License-Identifier: Apache-2.0

//! The page on which somebody approves a device. Plain HTML, no scripts.

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content='width=device-width'>\
<title>Development issuer, not for production</title>\
<style>body{font:16px/1.5 sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}\
strong{color:#b00}input,button{font:inherit;padding:.4rem .8rem}label{display:block;margin:1rem 0}</style>\
<h1>Sign in</h1><p><strong>Development issuer, not for production.</strong> \
It asks for no password and lets in whoever asks.</p>";

/// Asks for approval; `code` has letters and a hyphen only.
pub(crate) fn ask(code: &str) -> String {
    format!(
        "{HEAD}<p>Does your terminal show this code?</p><form method=post>\
<label>Code <input name=user_code value=\"{code}\" autocomplete=off></label>\
<label>Sign in as <input name=subject value=developer autocomplete=off></label>\
<button>Approve</button></form>"
    )
}

/// Says how it went.
pub(crate) fn told(text: &str) -> String {
    format!("{HEAD}<p>{text}</p>")
}
