// What Rocket.Chat's own parser makes of texts: a JSON document per line in, its items per line out.
import { createInterface } from 'node:readline';
import { parse } from '@rocket.chat/message-parser';

const flat = (node) => (Array.isArray(node) ? node.map(flat).join('') : typeof node === 'string' ? node : flat(node.value));

const named = (sign, node, names) => {
	const name = flat(node);
	const known = name.replace(/[.-]+$/, '');
	return names.has(known) ? [['name', sign + known], ['text', name.slice(known.length)]] : [['text', sign + name]];
};

const items = (node, people, rooms) => {
	const inner = (nodes) => nodes.flatMap((one) => items(one, people, rooms));
	switch (node.type) {
		case 'PLAIN_TEXT':
			return [['text', node.value]];
		case 'INLINE_CODE':
			return [['code', flat(node)]];
		case 'CODE':
			return [['code', node.value.map(flat).join('\n')]];
		case 'IMAGE':
			return [['picture', flat(node.value.label), flat(node.value.src)]];
		case 'LINK': // words that look like addresses become links of no scheme
			return flat(node.value.src).startsWith('//')
				? [['text', flat(node.value.label)]]
				: [['link', flat(node.value.label), flat(node.value.src)]];
		case 'MENTION_USER':
			return named('@', node, people);
		case 'MENTION_CHANNEL':
			return named('#', node, rooms);
		case 'EMOJI':
			return [['emoji', node.shortCode ?? node.unicode]];
		case 'ORDERED_LIST':
			return node.value.flatMap((item) => [['text', `${item.number}.`], ...inner(item.value)]);
		case 'UNORDERED_LIST':
			return node.value.flatMap((item) => [['text', '-'], ...inner(item.value)]);
		case 'LINE_BREAK':
			return [];
		default:
			return inner(node.value);
	}
};

for await (const line of createInterface({ input: process.stdin })) {
	const { msg, mentions = [], channels = [] } = JSON.parse(line);
	const people = new Set(mentions.map(({ username }) => username));
	const rooms = new Set(channels.map(({ name }) => name));
	console.log(JSON.stringify(parse(msg, {}).flatMap((node) => items(node, people, rooms))));
}
