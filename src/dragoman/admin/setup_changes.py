"""The forms of the setup pages, and the changes of the file that they make: shown first, then written.

A form shows the difference and changes nothing; the page of the difference writes it, or tries its model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.admin.context import AdminContext
from dragoman.admin.setup_desk import Draft, Drafts
from dragoman.admin.setup_fields import Typed, read
from dragoman.admin.setup_forms import FORMS, current, new_model, open_needs
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.admin.view import AdminView
from dragoman.checks import zone_checks
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.errors import ConfigError, RefusedError, StaleFileError
from dragoman.sentences import Sentence, texts_of
from dragoman.settings_edit import Edit


class Fields(BaseModel):
    """The fields of a form, by name, as a person types them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)


class WhichChange(BaseModel):
    """A change that was shown."""

    model_config = ConfigDict(extra="forbid")
    change: str = Field(min_length=1, max_length=100)


class WhichModel(BaseModel):
    """A model of the file."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(min_length=1, max_length=96)


class Change(BaseModel):
    """A change of the file: its name, the difference, what waits for a restart, and what became of it."""

    model_config = ConfigDict(extra="allow")
    change: str
    difference: str


class TurnResult(BaseModel):
    """How a test turn went."""

    model_config = ConfigDict(extra="allow")
    ok: bool


class SetupChanges:
    """Forms, differences, and writing."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view
        self._drafts = Drafts()
        self._writing = threading.Lock()

    def routes(self) -> Iterator[AdminRoute]:
        """A page and a form for each part, and the same over the API."""
        api: dict[str, Any] = {"answer": Change}
        for name in FORMS:
            says = f"The form of the part {name}."
            yield AdminRoute("GET", f"/setup/{name}", AUDITOR, self.form, says)
            says = f"Show what a change of the part {name} would write."
            yield AdminRoute("POST", f"/setup/{name}", OPERATOR, self.show, says, body=Fields)
            yield AdminRoute(
                "POST", f"/admin/v1/setup/{name}", OPERATOR, self.show_api, says, body=Fields, **api
            )
        yield AdminRoute("GET", "/setup/changes/{change}", AUDITOR, self.change, "A change that waits.")
        says = "Write the change that was shown."
        yield AdminRoute("POST", "/setup/changes/{change}", OPERATOR, self.write, says, fresh=True)
        path = "/admin/v1/setup/changes/write"
        yield AdminRoute("POST", path, OPERATOR, self.write_api, says, body=WhichChange, fresh=True, **api)
        says = "Ask the model of a change one question."
        yield AdminRoute("POST", "/setup/changes/{change}/try", OPERATOR, self.try_, says, fresh=True)
        path = "/admin/v1/setup/changes/try"
        yield AdminRoute("POST", path, OPERATOR, self.try_api, says, body=WhichChange, fresh=True, **api)
        says = "Ask a model of the file one question, as everybody's turns are."
        yield AdminRoute("POST", "/setup/turn", OPERATOR, self.turn, says, body=WhichModel, fresh=True)
        path = "/admin/v1/setup/turn"
        yield AdminRoute(
            "POST", path, OPERATOR, self.turn_api, says, body=WhichModel, fresh=True, answer=TurnResult
        )

    async def form(self, call: Call) -> Response:
        """A form with what the file holds now."""
        return await run_in_threadpool(self._form_page, call, _form_of(call))

    async def show(self, call: Call) -> Response:
        """The difference, on a page of its own; the form again where something is wrong with it."""
        name = _form_of(call)
        try:
            draft = await run_in_threadpool(self._drafted, call, name)
        except _WrongError as wrong:
            return await run_in_threadpool(self._form_page, call, name, wrong)
        return RedirectResponse(f"/setup/changes/{draft.change}", 303)

    async def show_api(self, call: Call) -> Response:
        """The same over the API."""
        name = call.route.path.rpartition("/")[2]
        try:
            draft = await run_in_threadpool(self._drafted, call, name)
        except _WrongError as wrong:
            raise wrong.refused() from wrong
        return self._view.json(view_of(draft))

    def put(self, by: str, form: str, edits: Sequence[Edit]) -> Draft:
        """Keep a change that another page asks for. RefusedError 400 where the file would not load."""
        try:
            return self._drafts.put(by, form, self._context.setup.propose(edits))
        except ConfigError as fault:
            raise RefusedError(400, "invalid_value", texts_of(fault.problems)) from fault

    async def change(self, call: Call) -> Response:
        """A change that waits, or was written."""
        draft = self._draft(call, call.names["change"])
        fresh = call.visitor.is_fresh(self._context.sessions.clock())
        lines = draft.proposal.difference.splitlines()
        return self._view.page(
            call, "setup_change", here=f"/setup/changes/{draft.change}", draft=draft, lines=lines, fresh=fresh
        )

    async def write(self, call: Call) -> Response:
        """Write what was shown; where the file is another now, show it anew."""
        draft = await run_in_threadpool(self._written, call, call.names["change"])
        return RedirectResponse(f"/setup/changes/{draft.change}", 303)

    async def write_api(self, call: Call) -> Response:
        """The same over the API; 409 where the file is another now, with the new difference."""
        draft = await run_in_threadpool(self._written, call, call.body.change)
        if draft.anew:
            text = {lang: TEXTS[lang]["setup_stale"] for lang in LANGUAGES}
            raise RefusedError(409, "stale_file", text, extra=view_of(draft))
        return self._view.json(view_of(draft))

    async def try_(self, call: Call) -> Response:
        """Try the model that a change adds."""
        draft = await run_in_threadpool(self._tried, call, call.names["change"])
        return RedirectResponse(f"/setup/changes/{draft.change}#trial", 303)

    async def try_api(self, call: Call) -> Response:
        """The same over the API."""
        return self._view.json(view_of(await run_in_threadpool(self._tried, call, call.body.change)))

    async def turn(self, call: Call) -> Response:
        """A test turn through the relay."""
        told = await self._turned(call)
        return await run_in_threadpool(self._form_page, call, "model", None, told)

    async def turn_api(self, call: Call) -> Response:
        """The same over the API."""
        return self._view.json(await self._turned(call))

    async def _turned(self, call: Call) -> Mapping[str, Any]:
        call.session()
        told = await self._context.setup.turn(call.body.model, self._view.language(call.request))
        entry = {"act": "setup.turn", "by": call.visitor.by, "model": call.body.model, "ok": told["ok"]}
        await run_in_threadpool(lambda: self._context.access.enter(entry).result())
        return told

    def _form_page(
        self, call: Call, name: str, wrong: _WrongError | None = None, turned: Mapping[str, Any] | None = None
    ) -> Response:
        language = self._view.language(call.request)
        subject = self._context.setup.subject()
        settings, faults = self._context.setup.stands()
        fields = FORMS[name].fields(subject)
        places = settings.deployment.markets if name == "markets" else ()
        needs = open_needs(zone_checks.decided_in(subject, place) for place in places)
        own = [
            (key, one)
            for key, one in settings.models.items()
            if settings.providers[one.provider].kind != "local"
        ]
        return self._view.page(
            call,
            "setup_form",
            400 if wrong else 200,
            here=f"/setup/{name}",
            form=name,
            fields=fields,
            values={**current(fields, settings), **(wrong.typed.raw if wrong else {})},
            errors=wrong.errors(language) if wrong else {},
            problems=[one.text[language] for one in wrong.problems] if wrong else [],
            faults=[one.text[language] for one in faults],
            nothing=wrong is not None and wrong.nothing,
            needs=needs,
            models=own if name == "model" else (),
            turned=turned,
        )

    def _drafted(self, call: Call, name: str) -> Draft:
        """The change that a form asks for. Raises _WrongError."""
        form = FORMS[name]
        subject = self._context.setup.subject()
        fields = form.fields(subject)
        typed = read(fields, call.body.__pydantic_extra__)
        wrong = {field: (fault.said, fault.values) for field, fault in typed.errors.items()}
        wrong |= {field: (said, {}) for field, said in form.check(typed).items()}
        if wrong:
            raise _WrongError(typed, wrong)
        try:
            if name == "model":
                asked = new_model(typed)
                proposal, offers = self._context.setup.add_model(asked)
                return self._drafts.put(call.visitor.by, name, proposal, model=asked, offers=offers)
            edits = form.edits(fields, typed, self._context.setup.stands()[0])
            if not edits:
                raise _WrongError(typed)
            return self._drafts.put(call.visitor.by, name, self._context.setup.propose(edits))
        except RefusedError as refused:
            raise _WrongError(typed, fault=refused) from refused
        except ConfigError as fault:
            keys = {".".join(field.path): field.name for field in fields if field.path}
            raise _WrongError(typed, fault=fault, keys=keys) from fault

    def _draft(self, call: Call, change: str) -> Draft:
        draft = self._drafts.get(call.visitor.by, change)
        if draft is None:
            text = {lang: TEXTS[lang]["setup_gone"] for lang in LANGUAGES}
            raise RefusedError(404, "change_not_found", text)
        return draft

    def _tried(self, call: Call, change: str) -> Draft:
        call.session()
        draft = self._draft(call, change)
        if draft.model is not None:
            draft.trial = self._context.setup.try_model(draft.model)
            entry = {"act": "setup.try", "by": draft.by, "model": draft.model.name, "ok": draft.trial["ok"]}
            self._context.access.enter(entry).result()
        return draft

    def _written(self, call: Call, change: str) -> Draft:
        """Write a change. A model is tried first; one that is silent is not written."""
        call.session()  # a machine's token does not rewrite the file
        draft = self._draft(call, change)
        if draft.model is not None and not draft.written and not (draft.trial or {}).get("ok"):
            self._tried(call, change)
            if not (draft.trial or {}).get("ok"):
                return draft
        with self._writing:  # a form that was sent twice is written once
            return draft if draft.written else self._put(draft)

    def _put(self, draft: Draft) -> Draft:
        """Put a change in place, recorded before."""
        proposal = draft.proposal
        keys = [".".join(edit.path) for edit in proposal.edits]
        entry = {"act": "config.write", "by": draft.by, "keys": keys, **proposal.digests}
        self._context.access.enter(entry).result()
        try:
            proposal.put()
        except ConfigError as fault:
            self._context.access.enter({**entry, "act": "config.kept", "code": fault.code}).result()
            if isinstance(fault, StaleFileError):
                return self._anew(draft)
            raise _kept("config_invalid", "setup_not_written", fault) from fault
        draft.written, draft.live = True, self._context.setup.take_up()
        return draft

    def _anew(self, draft: Draft) -> Draft:
        """The same change of the file as it is now, to be looked at again."""
        desk, offers = self._context.setup, draft.offers
        try:
            if draft.model is not None:
                proposal, offers = desk.add_model(draft.model)
            else:
                proposal = desk.propose(draft.proposal.edits)
        except ConfigError as fault:
            raise _kept("stale_file", "setup_stale", fault) from fault
        more = {"model": draft.model, "offers": offers, "trial": draft.trial, "anew": True}
        return self._drafts.put(draft.by, draft.form, proposal, **more)


def _kept(code: str, said: str, fault: ConfigError) -> RefusedError:
    why = texts_of(fault.problems)
    text = {lang: f"{TEXTS[lang][said]} {why[lang]}" for lang in LANGUAGES}
    return RefusedError(409, code, text, extra={"problems": fault.problems})


class _WrongError(Exception):
    """A form that makes no change: errors by field, or faults of the whole."""

    def __init__(
        self,
        typed: Typed,
        wrong: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
        fault: RefusedError | ConfigError | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        """`wrong`: by field; `fault`: of control or of the loader, whose keys belong to these fields."""
        super().__init__()
        self.typed = typed
        self.nothing = not wrong and fault is None
        self.problems: list[Sentence] = fault.problems if isinstance(fault, ConfigError) else []
        self._wrong = wrong or {}
        self._refusal = fault if isinstance(fault, RefusedError) else None
        self._keys = keys or {}

    def errors(self, language: str) -> dict[str, str]:
        """A sentence by field."""
        told = TEXTS[language]
        found = {name: told[f"error_{said}"].format(**values) for name, (said, values) in self._wrong.items()}
        if self._refusal is not None:
            found[self._refusal.param or ""] = self._refusal.text[language]
        for problem in self.problems:
            told_of = {name for key, name in self._keys.items() if f"{key}:" in problem}
            found |= dict.fromkeys(told_of, problem.text[language])
        return found

    def refused(self) -> RefusedError:
        """As an answer of the API."""
        errors = {lang: self.errors(lang) for lang in LANGUAGES}
        first = next(iter(errors["en"]), None)
        if self.nothing:
            text = {lang: TEXTS[lang]["setup_nothing"] for lang in LANGUAGES}
        else:
            problems = {lang: [one.text[lang] for one in self.problems] for lang in LANGUAGES}
            said = {lang: [*errors[lang].values(), *problems[lang]] for lang in LANGUAGES}
            text = {lang: " ".join(dict.fromkeys(said[lang])) for lang in LANGUAGES}
        return RefusedError(400, "invalid_value", text, param=first, extra={"errors": errors["en"]})


def _form_of(call: Call) -> str:
    return call.route.path.rpartition("/")[2]


def view_of(draft: Draft) -> dict[str, Any]:
    """A change as the API tells it."""
    proposal = draft.proposal
    return {
        "change": draft.change,
        "file": proposal.file,
        "difference": proposal.difference,
        "waits_for_restart": list(proposal.waits),
        "overridden": list(proposal.overridden),
        "offers": draft.offers,
        "trial": draft.trial,
        "written": draft.written,
        "live": draft.live,
    }
