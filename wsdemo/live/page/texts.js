/** Every text of the page, in English and Chinese, and how numbers are written in each. */

import { Words, preferred } from "./shared/words.js";

const TEXTS = {
  en: {
    title: "Pull and push hear the same earthquakes",
    moment: "{when} UTC, {speed}",
    interval: "Interval between two polls",
    speed: "Replay",
    perSecond: "{amount} of the week a second",
    rate: "{amount} a second ({rate} quakes)",
    pause: "Pause",
    resume: "Go on",
    restart: "Restart",
    dark: "Dark",
    light: "Light",
    pull: "Pull",
    push: "Push",
    "habit.asks": "asks every {interval}, news or not",
    "habit.held": "asks, is answered when there is news or after a while",
    "habit.streamed": "keeps a line open and is told",
    transportLeft: "Transport of the left side",
    transportRight: "Transport of the right side",
    vain_one: "of {count} request wasted",
    vain_other: "of {count} requests wasted",
    late: "late on average",
    trouble: "Trouble",
    troubleLeft: "Trouble of the left side's line",
    troubleRight: "Trouble of the right side's line",
    "trouble.none": "None",
    "trouble.cut": "Cut",
    "trouble.stall": "Stall",
    "trouble.delay": "Delay",
    "trouble.refuse": "Refuse",
    "word.none": "",
    "word.cut": "cut",
    "word.stall": "stalled",
    "word.delay": "delayed",
    "word.refuse": "refused",
    "word.known": "known",
    "struck.cut": "Cut at {from}",
    "struck.stall": "Stalled at {from}",
    "struck.refuse": "Refused at {from}",
    "struck.delay": "All takes {delay} longer each way since {from}, as theory knows; nobody is told",
    delayed: "From {from} on all took {delay} longer each way",
    unaware: "{struck}, not noticed yet",
    unfelt: "{struck}, never noticed, {lost}\u00a0lost",
    away: "{struck}, noticed after {after}, not back yet",
    came_one: "{struck}, noticed after {after}, {count} update came late, {lost}\u00a0lost",
    came_other: "{struck}, noticed after {after}, {count} updates came late, {lost}\u00a0lost",
    nothing: "Asked: nothing new",
    heard: "{magnitude} · {place} · heard {latency} late",
    silent: "Nobody asks; it will be told",
    noMagnitude: "M –",
    source: "it happens",
    readerPull: "asked",
    readerPush: "told",
    mapLeft: "Map of the earthquakes that the left side has heard of: {count}",
    mapRight: "Map of the earthquakes that the right side has heard of: {count}",
    stripLeft: "The last 20 seconds of the left side: {requests} requests, {wasted} wasted; hollow marks are wasted requests",
    stripRight: "The last 20 seconds of the right side: {requests} requests, {wasted} wasted; hollow marks are wasted requests",
    chartTitle: "How late each side hears, over the last minute (dashed: theory)",
    ago: "{seconds} s ago",
    now: "now",
    tableTitle: "Measured, and what theory says",
    quantity: "since {since} of the run",
    measured: "measured",
    theory: "theory",
    requests: "Requests",
    wasted: "Wasted requests",
    share: "Wasted share, for these quakes",
    poisson: "Wasted share, if Poisson",
    latency: "Mean latency",
    worst: "Worst latency",
    updates: "Updates heard",
    lost: "Updates lost",
    bytes: "Bytes both ways",
    fineClock: "Latency is counted against the server's clock, which this page knows to within ±{error} (half the"
      + " quickest round trip of the last minute). A browser that is busy drawing hears later.",
    fineBytes: "Bytes are TCP payload in both directions, counted at the server's socket: headers and signs of life are in, TCP's"
      + " and IP's own headers are not.",
    fineTheory: "Theory: wasted share 1 − Σ min(gap, T) / elapsed, or exp(−λT) for Poisson; mean latency T/2 + d"
      + " with d = {delay}; for fewer than 30 polls, what their own times give. Changing a control starts the measuring"
      + " anew.",
    fineData: "Data: U.S. Geological Survey, one week of 2018; Natural Earth.",
    connecting: "Connecting",
    open: "Connected",
    waiting: "Not connected",
    paused: "Paused",
    broken: "Connection lost; next attempt in {wait}",
    unopened: "Not connected yet; next attempt in {wait}",
    never: "The WebSocket does not open, neither at a port of its own nor at the page's. Next attempt in {wait}. Or use:",
    unreachable: "The server does not answer; next attempt in {wait}. What happens meanwhile is not lost.",
    unreachableFromFrame: "The server does not answer; next attempt in {wait}. If its notebook's kernel was restarted,"
      + " run the cell again.",
    refused: "The server refuses: {reason} Next attempt in {wait}.",
    back: "The server is back. The run goes on where it was, and both sides catch up.",
    tooFar: "The server was away for too long; the run goes on from now, and what happened meanwhile is lost.",
    fault: "This page has a fault of its own: {reason}. What it shows may be wrong; reload it.",
    background: "This tab was out of sight for {away}; browsers slow timers there, so polls came late or not at all.",
    notMade: "{count} polls due were not made, so theory and measurement differ.",
    language: "中文",
  },
  zh: {
    title: "拉与推：收听同一批地震",
    moment: "{when} UTC，{speed}",
    interval: "两次轮询的间隔",
    speed: "回放速度",
    perSecond: "每秒播放 {amount}",
    rate: "每秒 {amount}（{rate} 次地震）",
    pause: "暂停",
    resume: "继续",
    restart: "重新开始",
    dark: "深色",
    light: "浅色",
    pull: "拉取",
    push: "推送",
    "habit.asks": "不管有没有消息，每 {interval} 问一次",
    "habit.held": "问一次，有消息或等待超时才得到回答",
    "habit.streamed": "保持一条连接，有消息就被告知",
    transportLeft: "左侧的传输方式",
    transportRight: "右侧的传输方式",
    vain_other: "的请求白问了（共 {count} 次）",
    late: "平均延迟",
    trouble: "故障",
    troubleLeft: "左侧线路的故障",
    troubleRight: "右侧线路的故障",
    "trouble.none": "无",
    "trouble.cut": "切断",
    "trouble.stall": "停滞",
    "trouble.delay": "延迟",
    "trouble.refuse": "拒绝",
    "word.none": "",
    "word.cut": "切断",
    "word.stall": "停滞",
    "word.delay": "变慢",
    "word.refuse": "拒绝",
    "word.known": "察觉",
    "struck.cut": "{from} 被切断",
    "struck.stall": "{from} 起停滞",
    "struck.refuse": "{from} 起被拒绝",
    "struck.delay": "自 {from} 起每个方向都慢 {delay}；理论值已计入，但没有人被告知",
    delayed: "自 {from} 起每个方向曾慢 {delay}",
    unaware: "{struck}，尚未察觉",
    unfelt: "{struck}，始终未察觉，丢失 {lost} 条",
    away: "{struck}，{after} 后察觉，尚未恢复",
    came_other: "{struck}，{after} 后察觉，{count} 条更新迟到，丢失 {lost} 条",
    nothing: "问了：没有新消息",
    heard: "{magnitude} · {place} · 晚了 {latency}",
    silent: "不用问，等着被告知",
    noMagnitude: "M –",
    source: "发生",
    readerPull: "询问",
    readerPush: "得知",
    mapLeft: "左侧已得知的地震地图：{count} 次",
    mapRight: "右侧已得知的地震地图：{count} 次",
    stripLeft: "左侧最近 20 秒：{requests} 次请求，{wasted} 次白问；空心标记表示白问的请求",
    stripRight: "右侧最近 20 秒：{requests} 次请求，{wasted} 次白问；空心标记表示白问的请求",
    chartTitle: "最近一分钟内每一侧得知消息的延迟（虚线：理论值）",
    ago: "{seconds} 秒前",
    now: "现在",
    tableTitle: "测量值与理论值",
    quantity: "自第 {since} 起",
    measured: "测量",
    theory: "理论",
    requests: "请求数",
    wasted: "白问的请求",
    share: "白问的比例（按这些地震）",
    poisson: "白问的比例（泊松过程）",
    latency: "平均延迟",
    worst: "最大延迟",
    updates: "收到的更新",
    lost: "丢失的更新",
    bytes: "双向字节数",
    fineClock: "延迟按服务器的时钟计算；本页对该时钟的误差不超过 ±{error}（最近一分钟内最短往返时间的一半）。浏览器忙于绘图时会听得更晚。",
    fineBytes: "字节数是服务器套接字上双向的 TCP 载荷：包含 HTTP 头和心跳，不含 TCP 与 IP 自身的头。",
    fineTheory: "理论：白问的比例为 1 − Σ min(间隔, T) / 已过时间，泊松过程为 exp(−λT)；平均延迟为 T/2 + d，d = {delay}；"
      + "轮询不足 30 次时，按这些轮询各自的时刻计算。改变任何控件都会重新开始测量。",
    fineData: "数据：美国地质调查局，2018 年的一周；Natural Earth。",
    connecting: "正在连接",
    open: "已连接",
    waiting: "未连接",
    paused: "已暂停",
    broken: "连接断开；{wait}后重试",
    unopened: "尚未连接；{wait}后重试",
    never: "WebSocket 无法打开，无论通过它自己的端口还是本页的端口。{wait}后重试。也可以改用：",
    unreachable: "服务器没有回答；{wait}后重试。这期间发生的不会丢失。",
    unreachableFromFrame: "服务器没有回答；{wait}后重试。如果笔记本的内核已重启，请重新运行该单元格。",
    refused: "服务器拒绝：{reason} {wait}后重试。",
    back: "服务器恢复了。回放从原处继续，两侧正在补上。",
    tooFar: "服务器离开太久；回放从现在继续，这期间发生的已丢失。",
    fault: "本页自身出错：{reason}。所显示的内容可能有误，请重新加载。",
    background: "此标签页有 {away} 不在前台；浏览器会放慢那里的计时器，所以轮询会晚到或缺失。",
    notMade: "有 {count} 次应做的轮询没有做，所以理论与测量有差别。",
    language: "English",
    labels: {
      polling: "轮询", conditional: "带 ETag 的轮询", long_polling: "长轮询", sse: "服务器发送事件 (SSE)",
      websocket: "WebSocket",
    },
  },
};

export const LANGUAGES = Object.keys(TEXTS);

/** The texts of one language. */
export class Texts extends Words {
  #formats = new Map();

  constructor(language = preferred(LANGUAGES)) {
    super(TEXTS, language);
    this.when = new Intl.DateTimeFormat(this.locale, {
      weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
      hourCycle: "h23", timeZone: "UTC",
    });
  }

  label(transport) {
    return this.texts.labels?.[transport.name] ?? transport.label;
  }

  number(value, options = {}) {
    // Making a formatter is slow, and the table has thirty numbers four times a second.
    const key = JSON.stringify(options);
    if (!this.#formats.has(key)) {
      this.#formats.set(key, new Intl.NumberFormat(this.locale, options));
    }
    return this.#formats.get(key).format(value);
  }

  share(value) {
    return this.number(value, { style: "percent", maximumFractionDigits: 0 }).replace("%", "\u202f%");
  }

  /** Return a time in the unit that suits it, with two or three digits. */
  duration(seconds) {
    const ms = seconds * 1000;
    if (Math.abs(ms) < 9.95) {
      return `${this.number(ms, { maximumFractionDigits: 1, minimumFractionDigits: 1 })}\u202fms`;
    }
    if (Math.abs(ms) < 999.5) {
      return `${this.number(Math.round(ms))}\u202fms`;
    }
    const digits = seconds < 9.995 ? 2 : seconds < 99.95 ? 1 : 0;
    return `${this.number(seconds, { maximumFractionDigits: digits, minimumFractionDigits: digits })}\u202fs`;
  }

  /** Return a moment of the run, or how long after it something was: to a tenth of a second, or to what is less. */
  moment(seconds) {
    return seconds < 0.0995 ? this.duration(seconds)
      : `${this.number(seconds, { maximumFractionDigits: 1, minimumFractionDigits: 1 })}\u202fs`;
  }

  /** Return a time that a person set or waits for: without digits that mean nothing. */
  plain(seconds) {
    return `${this.number(seconds, { maximumSignificantDigits: 2 })}\u202fs`;
  }

  /** Return seconds of the week in the unit that suits them. */
  span(seconds) {
    const [amount, unit] = seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [seconds / 60, "minute"]
      : [seconds / 3600, "hour"];
    return this.number(amount, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 });
  }

  bytes(count) {
    const [amount, unit] = count < 1000 ? [count, "B"] : count < 1e6 ? [count / 1e3, "kB"] : [count / 1e6, "MB"];
    return `${this.number(amount, { maximumSignificantDigits: 3 })}\u202f${unit}`;
  }
}

/** The names of all texts of a language, for the test that both have the same. */
export function keys(language) {
  return Object.keys(TEXTS[language]);
}
