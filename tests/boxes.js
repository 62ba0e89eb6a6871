/**
 * What a machine can see of a page on a screen; tests/test_screens.py asks. Put into a page before its own scripts.
 *
 * boxes.faults() returns a sentence for each text that is cut, each box that lies outside or over another; boxes.drawn
 * holds the texts of each canvas, as they were drawn last.
 */
globalThis.boxes = (() => {
  const drawn = new Map();

  // Texts in canvases

  const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...rect) {
    drawn.set(this.canvas, []);
    return clearRect.apply(this, rect);
  };
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
    const size = this.measureText(text);
    const { a } = this.getTransform();
    drawn.get(this.canvas)?.push({
      text, scale: a, font: this.font, colour: this.fillStyle,
      left: x - size.actualBoundingBoxLeft, right: x + size.actualBoundingBoxRight,
      top: y - size.actualBoundingBoxAscent, bottom: y + size.actualBoundingBoxDescent,
    });
    return fillText.call(this, text, x, y, ...rest);
  };

  function* faultsOfCanvases() {
    for (const [canvas, texts] of drawn) {
      if (!canvas.isConnected || canvas.clientWidth === 0) {
        continue;
      }
      const whole = { left: 0, top: 0, right: canvas.clientWidth, bottom: canvas.clientHeight };
      for (const [i, one] of texts.entries()) {
        if (!holds(whole, one, 0.5)) {
          yield `${name(canvas)}: "${one.text}" is cut`;
        }
        for (const other of texts.slice(0, i)) {
          if (meet(one, other, 0)) {
            yield `${name(canvas)}: "${one.text}" lies on "${other.text}"`;
          }
        }
      }
    }
  }

  // Boxes and texts of the document

  function shown(node) {
    return node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest(".unseen, option");
  }

  /** The letters of a text, line by line: without the room above and below them that lines close to each other share. */
  function letters(text) {
    const range = document.createRange();
    range.selectNodeContents(text);
    return [...range.getClientRects()].filter(({ width }) => width > 0).map(({ left, right, top, bottom, height }) => (
      { left, right, top: top + 0.22 * height, bottom: bottom - 0.22 * height }));
  }

  /** What can be seen of a box without scrolling. */
  function seen(rect, owner) {
    const window = owner.closest("#log, .scroll")?.getBoundingClientRect();
    return window ? { ...rect, top: Math.max(rect.top, window.top), bottom: Math.min(rect.bottom, window.bottom) } : rect;
  }

  function* texts() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.data.trim() && shown(node.parentElement) && !node.parentElement.closest("select")) {
        for (const rect of letters(node).map((one) => seen(one, node.parentElement)).filter(({ bottom, top }) => bottom > top)) {
          yield { node, owner: node.parentElement, rect };
        }
      }
    }
  }

  function* faultsOfTexts() {
    const all = [...texts()];
    const solid = [...document.querySelectorAll("button, select, input, canvas, output")].filter(shown);
    for (const [i, { node, owner, rect }] of all.entries()) {
      for (let box = owner; box !== document.body; box = box.parentElement) {
        if (/^(TR|THEAD)$/.test(box.tagName)) {
          continue; // a cell may reach over two rows
        }
        if (scrolls(box)) {
          break; // what lies outside of it can be reached; whether it should have to be is said of the box
        }
        if (!holds(box.getBoundingClientRect(), rect, 1) && !/^(inline|contents)$/.test(getComputedStyle(box).display)) {
          yield `"${node.data.trim()}" sticks out of ${name(box)}`;
          break;
        }
      }
      for (const other of all.slice(0, i)) {
        if (other.node !== node && meet(rect, other.rect, 0.5)) {
          yield `"${node.data.trim()}" lies on "${other.node.data.trim()}"`;
        }
      }
      for (const box of solid) {
        if (!box.contains(owner) && meet(rect, box.getBoundingClientRect(), 0.5)) {
          yield `"${node.data.trim()}" lies on ${name(box)}`;
        }
      }
    }
  }

  function* faultsOfBoxes() {
    for (const node of document.body.querySelectorAll("*")) {
      if (!shown(node) || ["inline", "contents"].includes(getComputedStyle(node).display)) {
        continue;
      }
      const rect = node.getBoundingClientRect();
      if (rect.width > 0 && (rect.left < -0.5 || rect.right > innerWidth + 0.5)) {
        yield `${name(node)} lies outside of the screen`;
      }
      if (node.tagName !== "INPUT" && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0) {
        yield `${name(node)} is ${node.scrollWidth} px wide and shows ${node.clientWidth}`;
      }
      const cut = matchMedia("print").matches ? /hidden|clip|auto|scroll/ : /hidden|clip/;
      if (cut.test(getComputedStyle(node).overflowY) && node.scrollHeight > node.clientHeight + 1) {
        yield `${name(node)} is ${node.scrollHeight} px high and shows ${node.clientHeight}`;
      }
      yield* faultsOfNeighbours([...node.children].filter(isBox));
    }
    if (document.documentElement.scrollWidth > innerWidth) {
      yield `the page is ${document.documentElement.scrollWidth} px wide on a screen of ${innerWidth}`;
    }
  }

  function isBox(node) {
    const { display, position } = getComputedStyle(node);
    return shown(node) && !["inline", "contents"].includes(display) && position === "static";
  }

  function* faultsOfNeighbours(children) {
    for (const [i, one] of children.entries()) {
      for (const other of children.slice(0, i)) {
        if (meet(one.getBoundingClientRect(), other.getBoundingClientRect(), 1)) {
          yield `${name(one)} lies on ${name(other)}`;
        }
      }
    }
  }

  /** A select shows one of its texts, and is to have room for each of them, beside its arrow. */
  function* faultsOfSelects() {
    const context = document.createElement("canvas").getContext("2d");
    for (const select of [...document.querySelectorAll("select")].filter(shown)) {
      const { font, paddingLeft, paddingRight } = getComputedStyle(select);
      context.font = font;
      const room = select.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
      for (const { textContent } of select.options) {
        if (context.measureText(textContent).width > room + 1) {
          yield `"${textContent}" is cut in ${name(select)}`;
        }
      }
    }
  }

  function scrolls(box) {
    const { overflowX, overflowY } = getComputedStyle(box);
    return /auto|scroll/.test(overflowX + overflowY);
  }

  function holds(outer, inner, slack) {
    return inner.left >= outer.left - slack && inner.right <= outer.right + slack
      && inner.top >= outer.top - slack && inner.bottom <= outer.bottom + slack;
  }

  function meet(one, other, slack) {
    return Math.min(one.right, other.right) - Math.max(one.left, other.left) > slack
      && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > slack;
  }

  function name(node) {
    const place = node.closest(".left") ? "left " : node.closest(".right") ? "right " : "";
    return `${place}${node.tagName.toLowerCase()}${node.id && `#${node.id}`}${node.className && `.${node.className}`}`;
  }

  return {
    drawn,
    faults: () => [...new Set([
      ...faultsOfBoxes(), ...faultsOfTexts(), ...faultsOfSelects(), ...faultsOfCanvases(),
    ])],
    cut: () => [...faultsOfCanvases()],
    canvases: () => [...drawn].filter(([canvas]) => canvas.isConnected).map(([canvas, all]) => ({
      name: name(canvas), texts: all, wide: canvas.width, width: canvas.clientWidth,
    })),
  };
})();
