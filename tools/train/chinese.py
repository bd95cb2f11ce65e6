"""Intents in Chinese."""

from scenes import FIRST_COLOR, LAST_COLOR, MONOCHROME, SILHOUETTE, STYLES

NUMBERS = ("零", "一", "两", "三", "四", "五", "六")
COLORS = {
    "white": "白色", "black": "黑色", "gray": "灰色", "light gray": "浅灰色", "dark gray": "深灰色", "red": "红色",
    "light blue": "浅蓝色", "blue": "蓝色", "sky blue": "天蓝色", "dark blue": "深蓝色", "navy blue": "海军蓝",
    "green": "绿色", "light green": "浅绿色", "dark green": "深绿色", "mint": "薄荷绿", "yellow": "黄色",
    "light yellow": "浅黄色", "orange": "橙色", "pink": "粉色", "light pink": "浅粉色", "hot pink": "亮粉色",
    "purple": "紫色", "lavender": "淡紫色", "brown": "棕色", "beige": "米色", "cream": "奶油色", "teal": "青色",
    "turquoise": "绿松石色", "gold": "金色", "peach": "桃色",
}
OTHER_COLORS = {"pink": "粉红色", "red": "红", "blue": "蓝", "green": "绿", "yellow": "黄", "white": "白", "black": "黑",
                "brown": "褐色", "orange": "橘色"}
PLACES = {"top left": "左上角", "top right": "右上角", "bottom left": "左下角", "bottom right": "右下角", "left": "左边",
          "right": "右边", "top": "上方", "bottom": "下方"}
ADJECTIVES = ("可爱的|漂亮的|美丽的|有趣的|非常可爱的|好看的|快乐的|聪明的|大大的|巨大的|很大的|新的|旧的|老|好吃的|神奇的|温柔的|"
              "勇敢的|懒懒的|饥饿的|孤独的|最好的|普通的|简单的|精致的|卡通|萌萌的|超级可爱的|大|小小的|高大的|帅气的|毛茸茸的").split("|")
OPENINGS = ("画{}|画{}|请画{}|帮我画{}|给我画{}|请给我画{}|画一下{}|{}的图片|{}的图片|{}的照片|{}的插画|{}的图标|{}的画|{}的表情符号|{}表情|"
            "一张{}的图片|一幅{}的画|我想要{}|我想看{}|我要{}|我想要一张{}的图片|给我看看{}|让我看看{}|生成{}|生成一张{}的图片|"
            "请生成{}|来{}|这是{}|这里有{}|有{}|图片里有{}|画面中有{}|画面上是{}|只有{}|{}，谢谢|我喜欢{}|我最喜欢{}|你好，请画{}|"
            "能画{}吗？|可以给我画{}吗？|制作{}的图标|设计{}|想象{}|看，{}！|就画{}").split("|")
FILLERS = ("超清，4K，电影级构图|可爱|高清|卡通风格|扁平风格|简洁|高质量|插画|高清插画|矢量图|水彩画|油画|精美|细节丰富|最佳质量|儿童画|"
           "图标设计|柔和的光线|色彩鲜艳|专业摄影|特写|居中|简单|极简主义|8K|杰作|正面|侧面|没有文字|奇幻风格|写实|梦幻").split("|")
SCENERY = "在公园里|在晚上|在早上|在外面|在花园里|在家里|在桌子上|在森林里|在海边|在天上|在水里|在城市里|在草地上".split("|")

CLASSIFIERS = (  # endings of a noun, its measure words; the first that fits counts
    ("花 玫瑰 樱花 郁金香 向日葵 云 蘑菇", "朵"), ("树 仙人掌 松 白菜 草", "棵"), ("车 坦克 自行车 轿车 巴士", "辆"),
    ("飞机 直升机 钢琴 相机 照相机 摄像机 望远镜 显微镜", "架 台"), ("船 艇 舰", "艘 条"), ("书 簿 笔记本 本", "本"), ("鱼 蛇 龙 裙 裤 裤子 裙子 毛巾 围巾 河 鲨鱼", "条"),
    ("马 狼 骆驼", "匹 只"), ("牛 猪 大象 驴 骡", "头 只"), ("刀 伞 雨伞 椅子 吉他 小提琴 锁 钥匙 剪刀 锤子 斧头 扫帚 勺子 枪 尺 锯 扇", "把"),
    ("星 星星 心 爱心 牙齿 糖 糖果 药丸 钻石 宝石 珠", "颗"), ("笔 铅笔 烟 枪 画笔 温度计", "支"), ("灯 灯笼", "盏"), ("帽 帽子 皇冠 王冠", "顶"), ("鞋 靴 袜子 手套 筷子", "双 只"),
    ("衣 衬衫 外套 T恤 大衣", "件"), ("屋 房 房子 城堡 山 塔 桥 楼 教堂 寺 庙 火山 岛 大厦 学校 医院", "座"), ("脸 床 桌子 纸 票 地图 照片 嘴 面孔", "张"), ("电脑 电视 电视机 收音机 打印机 机", "台"),
    ("杯 咖啡 茶 牛奶 啤酒 红酒 饮料", "杯"), ("饭 面 汤 面条 米饭 拉面", "碗"), ("蛋糕 饼干 面包 肥皂 披萨 饼 石头 砖 奶酪 手表", "块"), ("火箭 枚 奖牌 硬币 戒指", "枚"), ("眼镜 耳机 手", "副"), ("香蕉 胡萝卜 羽毛 骨头 绳 针 蜡烛 棒棒糖", "根"),
    ("人 员 师 者 家 生 警察 国王 公主 王子 教师 医生", "个 位 名"), ("信 邮件", "封"), ("画 地图 拼图", "幅"), ("门", "扇"), ("叶", "片"), ("葡萄", "串"), ("鼓 镜子", "面"),
)


def make_classifiers(nouns):
    """Per picture, the measure words of its names."""
    result = []
    for noun in nouns:
        found = ""
        for endings, words in CLASSIFIERS:
            if any(name.endswith(ending) for name in noun.zh for ending in endings.split()):
                found = words
                break
        if not found and noun.subgroup.startswith("animal"):
            found = "只"
        result.append(found.split() or ["个"])
    return result


class Chinese:
    def __init__(self, nouns):
        self.nouns = nouns
        self.classifiers = make_classifiers(nouns)

    def noun(self, random, emoji):
        noun, chance = self.nouns[emoji], random.random()
        if len(noun.zh) > 1 and chance < 0.42:
            name = random.choice(noun.zh[1:])
        elif noun.keywords_zh and chance > 0.92:
            name = random.choice(noun.keywords_zh)
        else:
            name = noun.zh[0]
        return name

    def classifier(self, random, emoji):
        return random.choice(self.classifiers[emoji]) if random.random() < 0.72 else "个"

    @staticmethod
    def color(random, name):
        return OTHER_COLORS[name] if name in OTHER_COLORS and random.random() < 0.3 else COLORS[name]

    def styled(self, random, group, words=""):
        noun = self.noun(random, group.emoji)
        if FIRST_COLOR <= group.style <= LAST_COLOR:
            color = self.color(random, STYLES[group.style])
            noun = f"{color}的{noun}" if random.random() < 0.6 or not color.endswith("色") else f"{color}{noun}"
        elif group.style == MONOCHROME:
            noun = random.choice(("黑白的{}", "黑白{}", "灰度的{}")).format(noun)
        elif group.style == SILHOUETTE:
            noun = random.choice(("{}的剪影", "{}的影子", "{}剪影")).format(noun)
        if random.random() < 0.12:
            noun = random.choice(ADJECTIVES) + noun
        return words + noun

    def phrase(self, random, group, words=""):
        name = self.styled(random, group, words)
        if group.count == 1:
            if random.random() < 0.55 or name[0] in "一两三四五六":
                return name
            return "一" + self.classifier(random, group.emoji) + name
        number = NUMBERS[group.count] if random.random() < 0.9 else str(group.count)
        if name.startswith("一") and len(name) > 2:
            name = name[2:]
        return number + self.classifier(random, group.emoji) + name

    def join(self, random, phrases):
        if len(phrases) == 2:
            return random.choice(("{}和{}",) * 5 + ("{}与{}", "{}、{}", "{}，{}", "{}跟{}")).format(*phrases)
        chance = random.random()
        if chance < 0.6:
            return "、".join(phrases[:-1]) + "和" + phrases[-1]
        return ("、" if chance < 0.8 else "，" if chance < 0.9 else "和").join(phrases)

    def related(self, random, relation, a, b):
        if relation == "side":
            return random.choice(("左边是{a}，右边是{b}", "左边{a}，右边{b}", "{a}在{b}的左边", "{b}在{a}的右边",
                                  "{a}在左边，{b}在右边", "左侧是{a}，右侧是{b}")).format(a=a, b=b)
        return random.choice(("上面是{a}，下面是{b}", "{a}在{b}的上面", "{a}在{b}上方", "{b}在{a}的下面", "{b}上面有{a}",
                              "上面{a}，下面{b}")).format(a=a, b=b)

    def subject(self, random, intent):
        first = intent.groups[0]
        if len(intent.groups) > 1:
            phrases = [self.phrase(random, group) for group in intent.groups]
            return self.related(random, intent.relation, *phrases) if intent.relation else self.join(random, phrases)
        if intent.size:
            words = ("小", "很小的", "小号的") if intent.size == "small" else ("极小的", "微小的")
            return self.phrase(random, first, random.choice(words))
        if intent.corner:
            place, thing = PLACES[intent.corner], self.phrase(random, first)
            return random.choice((f"{place}的{thing}", f"{thing}在{place}", f"{place}有{thing}"))
        return self.phrase(random, first)

    def background(self, random, intent, words):
        """(words, whether they may be put into an opening)"""
        color = COLORS[intent.top] if random.random() < 0.8 else self.color(random, intent.top)
        if intent.bottom:
            other = COLORS[intent.bottom]
            return random.choice((f"{words}，从{color}到{other}的渐变背景", f"{words}，{color}到{other}渐变背景",
                                  f"从{color}到{other}的渐变背景上的{words}")), True
        return random.choice((
            (f"{words}，{color}背景", True), (f"{words}，{color}背景", False), (f"{color}背景上的{words}", True),
            (f"{color}背景上有{words}", False), (f"{words}在{color}背景上", True), (f"{color}背景，{words}", False),
            (f"{words}，背景是{color}", False), (f"{words}，{color}的背景", True)))

    def say(self, random, intent):
        words = self.subject(random, intent)
        opening = random.choice(OPENINGS) if random.random() < 0.36 else "{}"
        inside = True
        if intent.top and random.random() < 0.5:
            words, inside = self.background(random, intent, words)
            words = opening.format(words) if inside else words
        else:
            words = opening.format(words)
            if intent.top:
                words, _ = self.background(random, intent, words)
        if random.random() < 0.04:
            words += random.choice(SCENERY)
        if random.random() < 0.15:
            words += "，" + "，".join(random.sample(FILLERS, random.choice((1, 1, 1, 2, 3))))
        if random.random() < 0.06 and words[-1] not in "？！。":
            words += "。"
        return words
