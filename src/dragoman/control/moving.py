"""Moving house on `admin.sock`: a person's rows out in pages, in again, and what stands in the way.

File, signature and receipt are the command line's (`operations.moving`); here is what touches the store.
INVARIANT: a person is erased only by a move that froze it, and comes into being only whole.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from dragoman.accounts import keys, phones, signup
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.registry import Registry
from dragoman.assistants.erasure import Eraser
from dragoman.control.asgi import Answer, Request, Routes
from dragoman.control.loaded import Holder
from dragoman.control.questions import malformed
from dragoman.control.signup_desk import RECOVERY_CHARS
from dragoman.core.people import Person
from dragoman.errors import RefusedError
from dragoman.ids import kind_of, now_ms, zone_of
from dragoman.stores.migrate import versions
from dragoman.stores.moved import MOVED, StrangeRowError, person_row
from dragoman.stores.moving import Moves, NotArrivingError, NumberTakenError
from dragoman.stores.people import SqlPeople

TABLES = tuple(one.table.name for one in MOVED)
PAGE_BYTES = 4 << 20
"""LIMIT: bytes of rows after which a page is full."""
ROWS_AT_ONCE = 500
"""LIMIT: rows put in by one request."""
_NOTICE = {
    "en": "You are being moved to the zone that serves you.",
    "zh": "您正在迁往为您服务的区域。",
}
_TEXTS = {
    "person_not_found": (404, "Nobody who signed up here has this id.", "没有此编号的注册用户。"),
    "zone_strange": (
        400,
        "{zone} is not another zone of this configuration: name it under [zones.{zone}].",
        "{zone} 不是此配置中的另一区域：请在 [zones.{zone}] 中写明。",
    ),
    "number_other": (
        409,
        "This is not the number of this person. Ask for it again.",
        "该号码不属于此用户，请再次核实。",
    ),
    "number_gone": (
        409,
        "This person has no number here any more, so it could come in nowhere. It has to sign up anew there.",
        "此用户在此已无号码，无法在新区登录，须在该处重新注册。",
    ),
    "not_moving": (
        409,
        "This person is not being moved to {zone}. Export it first.",
        "此用户并未迁往 {zone}，请先导出。",
    ),
    "file_elsewhere": (
        409,
        "The file is for zone {zone}, and this is {here}. Import it there.",
        "该文件用于 {zone} 区域，而此处为 {here}。请在该处导入。",
    ),
    "file_release": (
        409,
        "The file was written by another release ({schema}; here {here}). Upgrade both zones to one.",
        "该文件由另一版本写成（{schema}；此处 {here}）。请将两个区域升级到同一版本。",
    ),
    "file_strange": (
        400,
        "The file holds what no export writes: {why}.",
        "文件中有导出不会写入的内容：{why}。",
    ),
    "file_incomplete": (
        409,
        "Not all of the file is in ({table}). Import it again from its beginning.",
        "文件尚未全部导入（{table}）。请从头重新导入。",
    ),
    "file_other": (
        409,
        "Another file of this person is half in. Import that one, or first erase {person} here.",
        "此用户的另一文件只导入了一部分。请导入该文件，或先在此清除 {person}。",
    ),
    "file_not_begun": (
        409,
        "This file is not on its way in: it is in already, or what came of it was erased. Import it again.",
        "该文件并不在导入中：或已导入，或所导入的内容已被清除。请重新导入。",
    ),
    "move_over": (
        409,
        "This person is being erased here and can stay no more. Go on with the erasure.",
        "此用户正在此处被清除，无法再留下。请继续清除。",
    ),
    "person_here": (
        409,
        "This person came in by another file already.",
        "此用户已由另一文件导入。",
    ),
    "name_taken": (
        409,
        "{person} is the name of somebody else here, so nobody comes in under it. Erase {person} here first.",
        "{person} 在此已属他人，不能以此名称导入。请先在此清除 {person}。",
    ),
    "person_erased": (
        409,
        "This file came in before, and the person was erased here since. It is not brought back.",
        "该文件此前已导入，此用户随后在此被清除，不会恢复。",
    ),
    "number_here": (
        409,
        "Somebody has an account with this number here. Erase that one first, if it is the same person's.",
        "该号码在此已有账户。如为同一人，请先清除该账户。",
    ),
}


def _refused(code: str, /, **values: str) -> RefusedError:
    status, english, chinese = _TEXTS[code]
    text = {"en": english.format(**values), "zh": chinese.format(**values)}
    return RefusedError(status, code, text)


def _not_arriving(fault: NotArrivingError, person: str) -> RefusedError:
    return _refused("file_not_begun" if fault.other is None else "file_other", person=person)


class MoveVerbs:
    """The endpoints, over the store."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the composition root hands over
        self,
        moves: Moves,
        people: SqlPeople,
        registry: Registry,
        eraser: Eraser,
        pepper: Pepper,
        holder: Holder,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._moves = moves
        self._people = people
        self._registry = registry
        self._eraser = eraser
        self._pepper = pepper
        self._holder = holder
        self._clock = clock

    def added_to(self, routes: Routes) -> Routes:
        """The table with these verbs in it."""
        verbs = {
            "out": self.out,
            "rows": self.rows,
            "stay": self.stay,
            "erase": self.erase,
            "in": self.begin,
            "in/rows": self.put,
            "in/end": self.end,
        }
        for name, verb in verbs.items():
            routes.on("POST", f"/admin/v1/people/{name}", _threaded(verb))
        return routes

    def out(self, body: dict[str, Any]) -> dict[str, Any]:
        """Freeze a person that is to move; what would move, and whether turns still run. Repeatable."""
        person, to = self._person(body), str(body["to"])
        self._other_zone(to)
        if person.phone is None:
            raise _refused("number_gone")
        e164, phone = phones.placed(str(body["phone"]), self._pepper)
        if phone.digest != person.phone.digest:
            raise _refused("number_other")
        if not body.get("dry_run"):
            self._moves.freeze(person.tenant, person.person, to, _NOTICE)
            self._moving(person, to)
        counts, running = self._moves.counts(person.tenant, person.person)
        tenant = self._registry.tenant(person.tenant)
        return {
            "zone": self._zone,
            "tenant": tenant.slug if tenant is not None else person.tenant,
            "person": person.person,
            "phone": e164,
            "schema": versions()[-1],
            "tables": counts,
            "running": running,
            "order": list(TABLES),
            "stay": [one.table.name for one in MOVED if one.shared],
        }

    def rows(self, body: dict[str, Any]) -> dict[str, Any]:
        """Rows of a person that is being moved, from table `at` of `tables` on behind the key `after`."""
        person = self._person(body)
        self._moving(person, str(body["to"]))
        tables, at, after = [str(one) for one in body["tables"]], int(body["at"]), str(body["after"])
        if set(tables) - set(TABLES) or at < 0:
            raise malformed("tables: those that move")
        found: list[tuple[str, dict[str, Any]]] = []
        size = 0
        while at < len(tables) and size < PAGE_BYTES:
            page, key = self._moves.page(person.tenant, person.person, tables[at], after)
            found += [(tables[at], row) for row in page]
            size += sum(len(json.dumps(row)) for row in page)
            at, after = (at, key) if key is not None else (at + 1, "")
        return {"rows": found, "at": at if at < len(tables) else None, "after": after}

    def stay(self, body: dict[str, Any]) -> dict[str, Any]:
        """Give up a move that has not erased anything yet."""
        person = self._person(body)
        if not self._moves.stay(person.tenant, person.person):
            raise _refused("move_over")
        return {"person": person.person, "moving": False}

    def erase(self, body: dict[str, Any]) -> dict[str, Any]:
        """Erase a person that arrived elsewhere: the caller has compared its rows and checked the receipt."""
        tenant, name, to = self._tenant(str(body["tenant"])), str(body["person"]), str(body["to"])
        mark = self._moves.moving(tenant, name)
        if mark is None or mark["to"] != to:
            raise _refused("not_moving", zone=to)
        receipt = {"to": to, "file": str(body["file"]), "receipt": str(body["receipt"])}
        self._moves.leave(tenant, name, receipt)
        gone = {"conversations": 0, "turns": 0}
        is_here = self._people.known(name) is not None
        if is_here or self._people.read(tenant, lambda rows: rows.leaving(name)) == "being_erased":
            gone = self._eraser.erase(tenant, name)
        self._moves.left(tenant, name)
        return {"person": name, **gone}

    def begin(self, body: dict[str, Any]) -> dict[str, Any]:
        """Whether a file may come in here, and whether it did; `receipt` is what came of it then."""
        head, file = body["head"], str(body["file"])
        zone, schema = str(head["zone"]), str(head["schema"])
        if head["to"] != self._zone:
            raise _refused("file_elsewhere", zone=str(head["to"]), here=self._zone)
        self._other_zone(zone)
        if schema != versions()[-1]:
            raise _refused("file_release", schema=schema, here=versions()[-1])
        person = self._renamed(str(head["person"]), zone)
        tenant = self._tenant(str(body.get("tenant") or head["tenant"]))
        told = self._moves.arrived(tenant, file)
        if told is not None:
            if not told:
                raise _refused("person_erased")
            return {"tenant": tenant, "person": person, "receipt": told}
        if self._people.known(person) is not None:
            raise _refused("person_here")
        _, phone = phones.placed(str(head["phone"]), self._pepper)
        if self._people.read(tenant, lambda rows: rows.person_of(phone.digest)) is not None:
            raise _refused("number_here")
        if self._moves.arrives(tenant, person) is None and self._moves.is_named(person):
            raise _refused("name_taken", person=person)
        if not body.get("dry_run") and self._moves.arriving(tenant, person, file) != file:
            raise _refused("file_other", person=person)
        return {"tenant": tenant, "person": person, "receipt": None}

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Put rows of a file in that was begun."""
        rows, tenant, person = body["rows"], str(body["tenant"]), str(body["person"])
        if not isinstance(rows, list) or len(rows) > ROWS_AT_ONCE:
            raise malformed(f"rows: at most {ROWS_AT_ONCE}")
        if not all(isinstance(one, list) and [type(part) for part in one] == [str, dict] for one in rows):
            raise malformed("rows: of each its table and its values")
        made = [(table, row) for table, row in rows]
        try:
            return {"added": self._moves.put(tenant, person, str(body["file"]), made)}
        except NotArrivingError as fault:
            raise _not_arriving(fault, person) from fault
        except StrangeRowError as fault:
            raise _refused("file_strange", why=str(fault)) from fault

    def end(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make the person, once every row is in; its receipt, and a new recovery code, shown once."""
        head, file = body["head"], str(body["file"])
        tenant, person = str(body["tenant"]), str(body["person"])
        counts, _ = self._moves.counts(tenant, person)
        for name, many in body["tables"].items():
            if name != "people" and counts.get(name, 0) < many:
                raise _refused("file_incomplete", table=name)
        try:
            row = person_row(dict(body["row"]), person)
        except ValueError as fault:
            raise _refused("file_strange", why=str(fault)) from fault
        _, phone = phones.placed(str(head["phone"]), self._pepper)
        recovery = keys.base62(secrets.token_bytes(signup.RECOVERY_BITS // 8), RECOVERY_CHARS)
        made = {
            "phone": phone.digest,
            "regions": ",".join(phone.regions),
            **{name: getattr(phone, name) for name in ("kind", "stands_for", "prefix", "country")},
            "recovery": self._pepper.digest("recovery", recovery).hex(),
        }
        self._moves.index(tenant, person)
        told = {
            "from": head["zone"],
            "to": self._zone,
            "person": head["person"],
            "became": person,
            "file": file,
            "at": self._clock(),
        }
        try:
            self._moves.finish(tenant, {**row, **made}, file, told)
        except NotArrivingError as fault:
            raise _not_arriving(fault, person) from fault
        except NumberTakenError as fault:
            raise _refused("number_here") from fault
        except StrangeRowError as fault:
            raise _refused("file_strange", why=str(fault)) from fault
        return {"receipt": told, "recovery_code": recovery}

    @property
    def _zone(self) -> str:
        return self._holder.loaded.settings.zone.id

    def _other_zone(self, zone: str) -> None:
        if zone == self._zone or zone not in self._holder.loaded.settings.zones:
            raise _refused("zone_strange", zone=zone[:40])

    def _person(self, body: dict[str, Any]) -> Person:
        found = self._people.known(str(body["person"])[:200])
        if found is None:
            raise _refused("person_not_found")
        return found

    def _moving(self, person: Person, to: str) -> None:
        mark = self._moves.moving(person.tenant, person.person)
        if mark is None or mark["to"] != to:
            raise _refused("not_moving", zone=to)

    def _tenant(self, reference: str) -> str:
        found = self._registry.tenant(reference)
        if found is None:
            text = {"en": "No tenant has this name or id.", "zh": "没有这个名称或编号的租户。"}
            raise RefusedError(404, "tenant_not_found", text)
        return found.tenant

    def _renamed(self, person: str, zone: str) -> str:
        if kind_of(person) != "prn" or zone_of(person) != zone:
            raise _refused("file_strange", why="a person of another zone")
        return f"prn_{self._zone}_{person.rpartition('_')[2]}"


def _threaded(verb: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Request], Any]:
    """An endpoint that waits for the store; a body without what the verb needs is malformed."""

    async def endpoint(request: Request) -> Answer:
        body = await request.json()
        try:
            return 200, await run_in_threadpool(verb, body)
        except KeyError as fault:
            raise malformed(f"{fault.args[0]} is missing") from fault

    return endpoint
