"""What Slack shows of a message, read from the export by rules of its own: nothing of chatferry's is used.

Rules: https://docs.slack.dev/messaging/formatting-message-text. Where Rocket.Chat has another word for the
same (`@all` for `@channel`, `:pencil:` for `:memo:`), its word stands.
"""

from typing import Any

from tests.support.shown.items import Items

Json = dict[str, Any]

EVERYBODY = {"channel": "all", "everyone": "all", "group": "all", "here": "here"}
OTHER_EMOJI = {"memo": "pencil", "simple_smile": "smile", "piggy": "pig", "uk": "gb"}
WITH_TONES = {"clap": "clap", "wave": "wave", "+1": "+1", "man-shrugging": "man_shrugging"}

EMOJI = {*OTHER_EMOJI, *WITH_TONES, "party_parrot", "tada"}


class Slack:
    """Reads messages of a workspace whose `users` and `channels` are names by id."""

    def __init__(self, users: dict[str, str], channels: dict[str, str]) -> None:
        self._users, self._channels = users, channels

    def shown(self, message: Json) -> list[Any]:
        """Return what is shown: the blocks where there are any, else the text."""
        items = Items()
        if message.get("blocks"):
            for block in message["blocks"]:
                self._block(block, items)
        else:
            self._mrkdwn(message["text"], items)
        return items.done()

    # ------------------------------------------------------------ mrkdwn

    def _mrkdwn(self, text: str, items: Items) -> None:
        place = 0
        while place < len(text):
            if place == 0 or text[place - 1] == "\n":
                place += len("&gt;") if text.startswith("&gt;", place) else 0  # the sign of a quote
            end = self._code(text, place, items) or self._token_at(text, place, items)
            if not end:
                end = self._emoji(text, place, items) or self._plain(text, place, items)
            place = end

    def _plain(self, text: str, place: int, items: Items) -> int:
        for entity, sign in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
            if text.startswith(entity, place):
                items.text(sign)
                return place + len(entity)
        items.text(text[place : place + 1])
        return place + 1

    def _code(self, text: str, place: int, items: Items) -> int:
        for fence in ("```", "`"):
            end = text.find(fence, place + len(fence)) if text.startswith(fence, place) else -1
            inner = text[place + len(fence) : end]
            if end > 0 and inner.strip() and (fence == "```" or "\n" not in inner):
                items.add("code", self._as_code(inner))
                return end + len(fence)
        return 0

    def _as_code(self, text: str) -> str:
        """Return code as it is seen: tokens by what they show, and nothing else changed."""
        seen: list[str] = []
        while text:
            end = text.find(">") if text[0] == "<" else -1
            if end > 0:
                inner = Items()
                self._token(text[1:end], inner, in_code=True)
                seen.extend(item.text for item in inner.done())
                text = text[end + 1 :]
            else:
                seen.append(text[0])
                text = text[1:]
        return _decoded("".join(seen))

    def _token_at(self, text: str, place: int, items: Items) -> int:
        end = text.find(">", place) if text[place] == "<" else -1
        if end < 0:
            return 0
        self._token(text[place + 1 : end], items)
        return end + 1

    def _token(self, token: str, items: Items, in_code: bool = False) -> None:
        target, _, label = token.partition("|")
        match target[0]:
            case "@":
                items.add("name", f"@{self._users[target[1:]]}")
            case "#":
                items.add("name", f"#{self._channels[target[1:]]}")
            case "!":
                command = target[1:].split("^")[0]
                if command in EVERYBODY:
                    items.add("name", f"@{command if in_code else EVERYBODY[command]}")
                else:
                    items.text(label)
            case _ if in_code:
                items.add("code", _label(target, label))
            case _:
                label = _decoded(_label(target, label))
                if label.count("`") == 2:
                    label = label.replace("`", "")  # shown as code: Rocket.Chat has none in labels
                items.add("link", label, _decoded(target))

    def _emoji(self, text: str, place: int, items: Items) -> int:
        """`:clap:`, or with a tone: `:clap::skin-tone-2:`."""
        name, end_sign, rest = text[place + 1 :].partition(":") if text[place] == ":" else ("", "", "")
        if not end_sign or name not in EMOJI:
            return 0
        end = place + len(name) + 2
        tone = 0
        if rest.startswith(":skin-tone-"):
            tone = int(rest[len(":skin-tone-")])
            end += len(":skin-tone-2:")
        _add_emoji(name, tone, items)
        return end

    # ------------------------------------------------------------ blocks

    def _block(self, block: Json, items: Items) -> None:
        match block["type"]:
            case "rich_text":
                for element in block["elements"]:
                    self._element(element, items)
            case "section":
                self._mrkdwn(block["text"]["text"], items)
            case "image":
                items.add("picture", block["title"]["text"], _decoded(block["image_url"]))

    def _element(self, element: Json, items: Items) -> None:
        inner = element["elements"]
        match element["type"]:
            case "rich_text_preformatted":
                items.add("code", "".join(self._seen_in_code(one) for one in inner))
            case "rich_text_list":
                for number, item in enumerate(inner, 1):
                    items.text(f"{number}." if element["style"] == "ordered" else "•")
                    self._element(item, items)
            case _:
                self._inline(inner, items)

    def _seen_in_code(self, element: Json) -> str:
        match element["type"]:
            case "user":
                return f"@{self._users[element['user_id']]}"
            case "link":
                return _label(_decoded(element["url"]), element.get("text", ""))
        return str(element["text"])

    def _inline(self, elements: list[Json], items: Items) -> None:
        label = ""
        for place, element in enumerate(elements):
            match element["type"]:
                case "text":
                    if element.get("style", {}).get("code"):
                        items.add("code", element["text"])
                    else:
                        items.text(element["text"])
                case "user":
                    items.add("name", f"@{self._users[element['user_id']]}")
                case "channel":
                    items.add("name", f"#{self._channels[element['channel_id']]}")
                case "broadcast":
                    items.add("name", f"@{EVERYBODY[element['range']]}")
                case "emoji":
                    _add_emoji(element["name"], element.get("skin_tone", 0), items)
                case "link":  # one link may be cut into several where its style changes
                    label += element.get("text", "")
                    after = elements[place + 1] if place + 1 < len(elements) else {}
                    if after.get("type") != "link" or after["url"] != element["url"]:
                        target = _decoded(element["url"])
                        items.add("link", _label(target, label), target)
                        label = ""


def _label(target: str, label: str) -> str:
    """Return what a link shows. A label that Slack shortened stands for the whole address."""
    if "[...]" in label and "://" in label:
        label = ""
    return label or target.removeprefix("mailto:").removeprefix("tel:")


def _decoded(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _add_emoji(name: str, tone: int, items: Items) -> None:
    if tone and name in WITH_TONES:
        items.add("emoji", f"{WITH_TONES[name]} {tone - 1}")
    else:
        items.add("emoji", OTHER_EMOJI.get(name, name))
