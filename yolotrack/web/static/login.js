// What follows the # in an address does not reach the server; so the form takes it along.

document.querySelector("form").action += location.hash;
