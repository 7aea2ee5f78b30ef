// The broadcast of a channel: how far it has come, whose it is, and who watches.
import { facts, make, panel, show } from './dom.js';
import { fact } from './forwards.js';
import { picture } from './picture.js';
import { isLive, moment, statusWord } from './words.js';

const VISIBILITIES = { public: 'Public', private: 'Private', unlisted: 'Unlisted' };

export function broadcastPanel() {
  const poster = picture('Poster');
  const [what, figures] = [facts('Status and tenant'), facts('Figures of the broadcast')];
  const { element } = panel('Broadcast', make('div', {}, poster.element, what.element), figures.element);
  element.classList.add('broadcast');
  return {
    element,
    /** `broadcast`: nothing, where the channel is of none. */
    update(broadcast, stream) {
      show(element, Boolean(broadcast));
      if (!broadcast) return;
      poster.update(broadcast.title, null, broadcast.poster);
      what.update([
        ['Status', statusWord(broadcast.status)],
        ['Tenant', broadcast.applicationId],
      ]);
      const begun = broadcast.startedAt ?? broadcast.createdAt;
      figures.update([
        ['Viewers, reported', String(broadcast.viewerCount), false, 'What the app says of its room'],
        ['Viewers, measured', String(isLive(stream) ? stream.viewers : broadcast.measuredViewers), false, 'Who play HLS and DASH now'],
        ['Visibility', VISIBILITIES[broadcast.visibility] ?? broadcast.visibility],
        ['Short id', broadcast.shortId],
        [broadcast.startedAt ? 'Started' : 'Made', moment(Date.parse(begun))],
        ...(stream?.forwards ?? []).map(fact),
        ['Made by', broadcast.anonymous ? 'A stranger' : 'The tenant', false, 'A stranger has no credentials'],
      ]);
    },
  };
}
