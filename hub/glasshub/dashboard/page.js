// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps the page as new as its server: what has changed is changed in place, so that focus, selection and scroll stay.
"use strict";

(() => {
    const body = document.body;
    const gone = document.getElementById("gone");
    const stale = document.getElementById("stale");
    const isServed = body.dataset.kind === "served";
    const canRefresh = location.protocol !== "file:";
    let skew = 0; // what this clock is ahead of the server's
    let due = 0;
    let isAsking = false;

    const now = () => Date.now() / 1000;
    const clock = (when) => new Date(when * 1000).toLocaleTimeString();

    function age(seconds) {
        if (seconds < 100) return `${Math.max(0, Math.round(seconds))} s`;
        if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
        return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
    }

    function announce(line, text) {
        if (line.textContent !== text) line.textContent = text;
        line.hidden = !text;
    }

    function showAge() {
        const time = Number(body.dataset.time);
        if (!time) return;
        const seconds = now() - skew - time;
        const ago = document.getElementById("ago");
        if (ago) ago.textContent = `${age(seconds)} ago`;
        // By the minute, or a screen reader would be told each second.
        const old = seconds < 100 ? "more than a minute" : age(seconds);
        announce(stale, seconds > Number(body.dataset.stale) ? `These figures are ${old} old.` : "");
    }

    function arrange() { // after each page that came
        if (isServed) skew = now() - Number(body.dataset.now);
        due = now() + Number(body.dataset.every);
        announce(gone, "");
        showAge();
    }

    function sameKind(one, other) {
        return one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
    }

    // Make `old` like `fresh`, and keep every node of it that can be kept.
    function morph(old, fresh) {
        for (const { name } of [...old.attributes]) {
            if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
        }
        for (const { name, value } of fresh.attributes) {
            if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        }
        let place = old.firstChild;
        for (const child of [...fresh.childNodes]) {
            let match = place;
            while (match && !sameKind(match, child)) match = match.nextSibling;
            if (!match) {
                old.insertBefore(document.importNode(child, true), place);
                continue;
            }
            if (match === place) place = place.nextSibling;
            else old.insertBefore(match, place);
            if (child.nodeType === Node.ELEMENT_NODE) morph(match, child);
            else if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
        }
        while (place) {
            const next = place.nextSibling;
            place.remove();
            place = next;
        }
    }

    function show(text) {
        const fresh = new DOMParser().parseFromString(text, "text/html");
        if (!fresh.body.dataset.kind) throw new Error("that is another page");
        const focused = document.activeElement;
        document.title = fresh.title;
        morph(document.getElementById("icon"), fresh.getElementById("icon"));
        for (const part of ["when", "main", "foot"]) {
            morph(document.getElementById(part), fresh.getElementById(part));
        }
        if (focused !== document.activeElement && document.contains(focused)) focused.focus({ preventScroll: true });
        Object.assign(body.dataset, fresh.body.dataset);
        arrange();
    }

    async function refresh() {
        if (isAsking || document.hidden || !canRefresh) return;
        isAsking = true;
        const asked = now();
        try {
            const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
            if (!answer.ok) throw new Error(answer.statusText);
            show(await answer.text());
        } catch {
            due = now() + Math.min(Number(body.dataset.every), 10);
            if (gone.hidden) announce(gone, `The dashboard has not answered since ${clock(asked)}: what you see is old.`);
        } finally {
            isAsking = false;
        }
    }

    document.addEventListener("visibilitychange", refresh);
    setInterval(() => {
        showAge();
        if (now() >= due) refresh();
    }, 1000);
    arrange();
})();
